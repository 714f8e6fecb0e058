# Postern: one plain Makefile. `make help` lists the targets.
#
#   make                       build/posternd, build/posternctl, build/postern-inetd
#   make CC=clang BUILD=build-clang
#   make SANITIZE=address,undefined BUILD=build-asan
#   make check                 installs what is missing, runs all tests
#   make demo                  installs what is missing, shows a session (ONCE=1: and ends)
#   make deps                  installs the packages of the file `packages`
#   make fuzz                  libFuzzer on all parsers (MINUTES=10; CORPUS=merge keeps what it found)
#   make fuzz-coverage         which lines of which files the corpora of the fuzzers reach
#   make fuzz-afl              AFL++ on the whole program under inetd, with a real database (MINUTES=10)
#   make torture               breaks everything while mail comes and goes, accounts for it (MINUTES=10 SEED=n)
#   make bench-deps            installs the servers to compare with
#   make bench                 figures (ROUNDS=5 SECONDS=4); bench-quick: some, in three minutes
#   make check-sanitized       the same tests with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
#   make check-valgrind        the conversations with posternd under valgrind: errors and lost blocks
#   make soak                  an hour of mixed traffic: does anything grow (MINUTES=60)
#   make load                  10,000 hostile connections of each kind, and what others feel (COUNT=10000)
#   make growth                what polls, deliveries and posternctl cost in a large store (MAILBOXES=100000)
#   make check-allocations     every allocation fails once, in a session, a delivery, a helper and in tools
#   make check-leaks           memory and descriptors after 100,000 sessions (SESSIONS=n)
#   make failover              seconds until a standby's promotion is felt (TIMES=3)
#   make coverage              lines and branches that the tests reach, by folder
#   make structure             includes that climb, circles, what is too long
#   make lint                  cppcheck, mandoc -T lint
#   make analyze               the same, gcc -fanalyzer and clang-tidy
#   make install               PREFIX=/usr/local DESTDIR=
#   make deb                   build/deb/postern_*.deb
#   make deb-check             installs it in a fresh Debian below build/, as root (RELEASE=bookworm|trixie)
#   make install-check         does what INSTALL says, there (RELEASE=bookworm|trixie SUDO=1)
#   make clean

BUILD   ?= build
PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
DOCDIR  ?= $(PREFIX)/share/doc/postern
SYSCONFDIR ?= /etc/postern
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
INSTALL ?= install

VERSION := 1.0-dev
PKGS    := libpq libsodium libconfig libevent_core libevent_extra libcrypt libidn2 libgsasl jansson libssl libcrypto libseccomp libzstd
comma   := ,
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wformat=2
# A number where a pointer is wanted is never meant; it compiled, and crashed a fuzzer that nobody had rebuilt by hand.
WARN    += -Werror=int-conversion -Werror=incompatible-pointer-types
OPT     ?= -O2 -g
HARDEN  := -fstack-protector-strong -fstack-clash-protection -fPIE -fno-strict-overflow
LDHARDEN := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed

ifdef SANITIZE
# _FORTIFY_SOURCE hides what the sanitizer would see; a sandbox would keep it from looking.
CPPFLAGS += -DPOSTERN_SANITIZED
HARDEN  := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=undefined -fPIE
LDHARDEN := -fsanitize=$(SANITIZE) -pie
WATCHED := 1
else ifdef COVERAGE
CPPFLAGS += -DPOSTERN_SANITIZED
HARDEN  := --coverage -fprofile-update=atomic -fPIE
LDHARDEN := --coverage -pie
OPT     := -O0 -g
WATCHED := 1
else
HARDEN  += -D_FORTIFY_SOURCE=3
endif

# Libraries are looked up when something is compiled: `make deps` must work without them.
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
# libunistring has no file for pkg-config.
PKG_LIBS   = $(shell pkg-config --libs $(PKGS)) -lunistring

ALL_CPPFLAGS = -I. -D_GNU_SOURCE -DPOSTERN_VERSION='"$(VERSION)"' -DPOSTERN_SYSCONFDIR='"$(SYSCONFDIR)"' $(CPPFLAGS)
ALL_CFLAGS   = -std=c11 $(WARN) $(OPT) $(HARDEN) $(CFLAGS)
ALL_LDFLAGS  = $(LDHARDEN) $(LDFLAGS)

SQL      := $(wildcard sql/schema/[0-9][0-9]_*.sql sql/upgrade/[0-9][0-9][0-9][0-9]_*.sql)
LIB_SRC  := $(filter-out daemon/inetd/% daemon/config/% daemon/system/% daemon/control/% daemon/process/%,$(wildcard $(addsuffix /*.c,daemon/* storage storage/* auth auth/*)))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o) $(BUILD)/storage/pg/schema_sql.o
POSTERND_OBJ   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard daemon/config/*.c daemon/system/*.c daemon/control/*.c daemon/process/*.c))
ifdef WATCHED
# Tools that do their work when a process ends.
LIB_OBJ += $(BUILD)/tests/checks/at_exit.o
LDHARDEN += -Wl,--wrap=_exit,--wrap=prctl $(if $(COVERAGE),-Wl$(comma)-u$(comma)__gcov_dump)
endif
POSTERNCTL_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard admin/*.c admin/*/*.c))
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

all: $(BUILD)/posternd $(BUILD)/posternctl $(BUILD)/postern-inetd

$(BUILD)/posternd: $(POSTERND_OBJ) $(BUILD)/libpostern.a
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) $(LIBS)

$(BUILD)/posternctl: $(POSTERNCTL_OBJ) $(BUILD)/libpostern.a
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) $(LIBS)

# Started for each client: the C library is all that it needs, and half of what it costs would be to link with it then.
INETD_LDFLAGS = $(if $(WATCHED),$(ALL_LDFLAGS),-static-pie $(filter-out -pie,$(ALL_LDFLAGS)))
INETD_OBJ := $(BUILD)/daemon/inetd/postern-inetd.o $(BUILD)/daemon/net/passer.o $(BUILD)/daemon/base/unix_socket.o
$(BUILD)/postern-inetd: $(INETD_OBJ)
	$(CC) $(ALL_CFLAGS) $(INETD_LDFLAGS) -o $@ $^ $(LIBS)

# Everything but the programs' own files: the unit tests link it too.
$(BUILD)/libpostern.a: $(LIB_OBJ)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(PKG_CFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The schema is built in, so that posternctl and its schema cannot be of two versions.
$(BUILD)/storage/pg/schema_sql.c: sql/embed.sh $(SQL)
	@mkdir -p $(@D)
	sh sql/embed.sh sql >$@.tmp
	mv $@.tmp $@

$(BUILD)/storage/pg/schema_sql.o: $(BUILD)/storage/pg/schema_sql.c storage/pg/schema.h
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# Fixtures are linked before the library, whose functions some of them replace.
WITH_FIXTURE = $(patsubst tests/%.c,$(BUILD)/%,$(shell grep -l '"tests/unit/$(1).h"' tests/unit/test_*.c tests/fuzz/fuzz_*.c))
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libpostern.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(PKG_CFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(filter %.o,$^) $(BUILD)/libpostern.a $(shell pkg-config --cflags --libs cmocka) $(PKG_LIBS) $(LIBS)

unit: $(UNIT)

FIXTURES := $(filter-out test_%,$(notdir $(basename $(wildcard tests/unit/*.c))))
$(call WITH_FIXTURE,db_fixture): $(BUILD)/tests/unit/admin_fixture.o
$(foreach f,$(FIXTURES),$(eval $(call WITH_FIXTURE,$(f)): $(BUILD)/tests/unit/$(f).o))

-include $(LIB_OBJ:.o=.d) $(INETD_OBJ:.o=.d) $(POSTERND_OBJ:.o=.d) $(POSTERNCTL_OBJ:.o=.d) $(UNIT:=.d) $(FIXTURES:%=$(BUILD)/tests/unit/%.d)

# ------------------------------------------------------------------ install

MAN5 := $(wildcard daemon/*.5)
MAN8 := $(wildcard daemon/*.8 admin/*.8)

# Names a program by where it will be.
PLACED := sed -e 's,/usr/local/sbin/,$(SBINDIR)/,g' -e 's,/etc/postern/,$(SYSCONFDIR)/,g'

install: all
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(DOCDIR) \
	    $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(TMPFILESDIR)
	$(INSTALL) $(BUILD)/posternd $(BUILD)/posternctl $(BUILD)/postern-inetd $(DESTDIR)$(SBINDIR)
	$(INSTALL) -m 644 $(MAN5) $(DESTDIR)$(MANDIR)/man5
	$(INSTALL) -m 644 $(MAN8) $(DESTDIR)$(MANDIR)/man8
	$(INSTALL) -m 644 README INSTALL $(DESTDIR)$(DOCDIR)
	$(INSTALL) -m 644 sql/README $(DESTDIR)$(DOCDIR)/README.sql
	$(INSTALL) -m 644 etc/sysusers.d/postern.conf $(DESTDIR)$(SYSUSERSDIR)
	$(INSTALL) -m 644 etc/tmpfiles.d/postern.conf $(DESTDIR)$(TMPFILESDIR)
	for unit in etc/systemd/postern*; do \
	    $(PLACED) $$unit >$(DESTDIR)$(UNITDIR)/$${unit##*/} && chmod 644 $(DESTDIR)$(UNITDIR)/$${unit##*/} || exit 1; \
	done
	cd etc && find . -path ./debian -prune -o -path ./sysusers.d -prune -o -path ./tmpfiles.d -prune -o -path './systemd/postern*' -prune -o -type f -print | \
	while read -r f; do \
	    $(INSTALL) -d $(DESTDIR)$(DOCDIR)/etc/$${f%/*} && $(PLACED) $$f >$(DESTDIR)$(DOCDIR)/etc/$$f && \
	    chmod --reference=$$f $(DESTDIR)$(DOCDIR)/etc/$$f || exit 1; \
	done

# ------------------------------------------------------------- Debian package

# Built in a copy, as the folder debian has to be at its top.
DEB := $(BUILD)/deb
DEB_DEPENDS := debhelper-compat (= 13)$(shell awk '$$1 == "build" && $$2 != "build-essential" { printf ", %s", $$2 }' packages)

deb:
	@$(MAKE) --no-print-directory deps USES='build deb'
	rm -rf $(DEB)
	mkdir -p $(DEB)/postern
	cp -a Makefile README INSTALL LICENSE packages admin auth daemon etc sql storage tests $(DEB)/postern
	mv $(DEB)/postern/etc/debian $(DEB)/postern/debian
	sed -i 's/@BUILD_DEPENDS@/$(DEB_DEPENDS)/' $(DEB)/postern/debian/control
	cd $(DEB)/postern && env -u MAKEFLAGS -u MAKELEVEL dpkg-buildpackage -b -us -uc
	rm -rf $(DEB)/postern
	lintian --fail-on error,warning $(DEB)/*.changes

# RELEASE=trixie: with a package that is built in there, by what that release has.
RELEASE ?= $(shell . /etc/os-release && echo "$$VERSION_CODENAME")
deb-check:
	@$(MAKE) --no-print-directory deps USES='build deb'
	tests/service/deb-check $(RELEASE) $(BUILD)/debian-$(RELEASE)

# What INSTALL says, as printed, in a fresh Debian; SUDO=1: by a user with sudo.
install-check:
	@$(MAKE) --no-print-directory deps USES='build deb'
	tests/service/install-check $(if $(SUDO),--sudo) $(RELEASE) $(BUILD)/debian-$(RELEASE)

# ------------------------------------------------- tests, demonstration, figures

include tests/tests.mk
include tests/checks.mk

ROUNDS ?= 5
SECONDS ?= 4
BENCH := all $(BUILD)/bench/popbench $(BUILD)/bench/lmtpbench $(BUILD)/bench/nullpop
bench: $(BENCH)
	BUILD=$(BUILD) tests/bench/run --rounds $(ROUNDS) --seconds $(SECONDS)

bench-quick: $(BENCH)
	BUILD=$(BUILD) tests/bench/run --quick

bench-deps:
	@$(MAKE) --no-print-directory deps USES='build run test bench'

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

.PHONY: all unit install deb deb-check install-check bench bench-quick bench-deps lint help clean
