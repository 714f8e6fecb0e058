# Postern: one plain Makefile. `make help` lists the targets.
#
#   make                       build/posternd, build/posternctl
#   make CC=clang BUILD=build-clang
#   make SANITIZE=address,undefined BUILD=build-asan
#   make check                 installs what is missing, runs all tests
#   make demo                  installs what is missing, shows a session (ONCE=1: and ends)
#   make deps                  installs the packages of the file `packages`
#   make bench                 figures (ROUNDS=5)
#   make lint                  cppcheck, mandoc -T lint
#   make install               PREFIX=/usr/local DESTDIR=
#   make clean

BUILD   ?= build
PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
DOCDIR  ?= $(PREFIX)/share/doc/postern
SYSCONFDIR ?= /etc/postern
INSTALL ?= install

VERSION := 0.1
PKGS    := libpq libsodium libconfig libevent_core libcrypt libidn2 libgsasl jansson libssl libcrypto
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wformat=2
OPT     ?= -O2 -g
HARDEN  := -fstack-protector-strong -fstack-clash-protection -fPIE -fno-strict-overflow
LDHARDEN := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed

ifdef SANITIZE
# _FORTIFY_SOURCE hides what the sanitizer would see.
HARDEN  := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=undefined -fPIE
LDHARDEN := -fsanitize=$(SANITIZE) -pie
else
HARDEN  += -D_FORTIFY_SOURCE=3
endif

# Libraries are looked up when something is compiled: `make deps` must work without them.
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   = $(shell pkg-config --libs $(PKGS))

ALL_CPPFLAGS = -I. -D_GNU_SOURCE -DPOSTERN_VERSION='"$(VERSION)"' -DPOSTERN_SYSCONFDIR='"$(SYSCONFDIR)"' $(CPPFLAGS)
ALL_CFLAGS   = -std=c11 $(WARN) $(OPT) $(HARDEN) $(CFLAGS)
ALL_LDFLAGS  = $(LDHARDEN) $(LDFLAGS)

SQL      := $(sort $(wildcard sql/[0-9][0-9][0-9][0-9]_*.sql))
LIB_SRC  := $(wildcard daemon/base/*.c daemon/net/*.c daemon/pop3/*.c daemon/lmtp/*.c storage/*.c auth/*.c)
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o) $(BUILD)/storage/migrations.o
POSTERND_OBJ   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard daemon/*.c))
POSTERNCTL_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard admin/*.c))
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

all: $(BUILD)/posternd $(BUILD)/posternctl

$(BUILD)/posternd: $(POSTERND_OBJ) $(BUILD)/libpostern.a
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) $(LIBS)

$(BUILD)/posternctl: $(POSTERNCTL_OBJ) $(BUILD)/libpostern.a
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) $(LIBS)

# Everything but the two programs' own files: the unit tests link it too.
$(BUILD)/libpostern.a: $(LIB_OBJ)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(PKG_CFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The migrations are built in, so that posternctl and its schema cannot be of two versions.
$(BUILD)/storage/migrations.c: sql/embed.sh $(SQL)
	@mkdir -p $(@D)
	sh sql/embed.sh $(SQL) >$@.tmp
	mv $@.tmp $@

$(BUILD)/storage/migrations.o: $(BUILD)/storage/migrations.c storage/schema.h
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libpostern.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(PKG_CFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(BUILD)/libpostern.a $(shell pkg-config --cflags --libs cmocka) $(PKG_LIBS) $(LIBS)

unit: $(UNIT)

-include $(LIB_OBJ:.o=.d) $(POSTERND_OBJ:.o=.d) $(POSTERNCTL_OBJ:.o=.d) $(UNIT:=.d)

# ------------------------------------------------------------------ install

MAN5 := $(wildcard daemon/*.5)
MAN8 := $(wildcard daemon/*.8 admin/*.8)

install: all
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(DOCDIR)/etc
	$(INSTALL) $(BUILD)/posternd $(BUILD)/posternctl $(DESTDIR)$(SBINDIR)
	$(INSTALL) -m 644 $(MAN5) $(DESTDIR)$(MANDIR)/man5
	$(INSTALL) -m 644 $(MAN8) $(DESTDIR)$(MANDIR)/man8
	$(INSTALL) -m 644 README INSTALL $(DESTDIR)$(DOCDIR)
	$(INSTALL) -m 644 sql/README $(DESTDIR)$(DOCDIR)/README.sql
	$(INSTALL) -m 644 $(wildcard etc/*) $(DESTDIR)$(DOCDIR)/etc

# ------------------------------------------------- tests, demonstration, figures

include tests/tests.mk

ROUNDS ?= 5
bench: all $(BUILD)/bench/popbench $(BUILD)/bench/lmtpbench $(BUILD)/bench/nullpop
	BUILD=$(BUILD) tests/bench/run --rounds $(ROUNDS)

$(BUILD)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -Wall -Wextra $(CFLAGS) -o $@ $< $(LDFLAGS) -lssl -lcrypto

# ---------------------------------------------------------------------- checks

lint:
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	    -I. -D_GNU_SOURCE --suppress=missingIncludeSystem daemon storage auth admin
	mandoc -T lint -W warning $(MAN5) $(MAN8)

help:
	@sed -n 's/^#   //p' Makefile

clean:
	rm -rf $(BUILD)

.PHONY: all unit install bench lint help clean
