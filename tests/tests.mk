# Tests and what they need; included by the Makefile.

# Packages of these groups in the file `packages`, for this release of Debian.
USES ?= build run test
packages-for = $(shell awk -v uses=' $(1) ' -v release="$$(. /etc/os-release && echo "$$VERSION_CODENAME")" \
    'split($$1, use, ":") && index(uses, " " use[1] " ") && (use[2] == "" || use[2] == release) { print $$2 }' packages)
NEEDED = $(call packages-for,$(USES))

# Silent, and without apt, where all is there.
deps:
	@there=" $$(dpkg-query -W -f='$${Status}:$${Package}\n' $(NEEDED) 2>/dev/null | sed -n 's/^install ok installed://p' | tr '\n' ' ')"; \
	missing=; for p in $(NEEDED); do case $$there in *" $$p "*) ;; *) missing="$$missing $$p" ;; esac; done; \
	test -z "$$missing" && exit 0; \
	sudo=; test "$$(id -u)" = 0 || sudo=sudo; \
	echo "installing:$$missing"; \
	$$sudo apt-get update -q && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing

# They cannot be installed beside xinetd, or would be a service that is started.
debs:
	@BUILD=$(BUILD) tests/lib/unpack.py openbsd-inetd inetutils-inetd fail2ban dovecot-pop3d

# posternctl with the schema of another directory, $(OTHER)/schema and upgrade, as $(OTHER)/posternctl: for the test of upgrades.
other: $(POSTERNCTL_OBJ) $(BUILD)/libpostern.a
	sh sql/embed.sh $(OTHER) >$(OTHER)/schema_sql.c
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $(OTHER)/posternctl $(OTHER)/schema_sql.c $^ $(PKG_LIBS) $(LIBS)

# ------------------------------------------------------------------- fuzzing

# Each target is linked with what runs it: driver.c and the sanitizers of any
# compiler, or libFuzzer, which only clang has. Both have objects of their own.
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_DRIVER = $(BUILD)/tests/fuzz/driver.o
FUZZ_LDFLAGS =

$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/%.o $(FUZZ_DRIVER) $(BUILD)/libpostern.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(FUZZ_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(shell pkg-config --libs cmocka) $(PKG_LIBS) $(LIBS)

fuzzers: $(FUZZERS)

-include $(FUZZERS:$(BUILD)/fuzz/%=$(BUILD)/tests/fuzz/%.d)

# -O1: they are built more often than they run.
fuzz-short:
	@$(MAKE) --no-print-directory -s BUILD=$(BUILD)/short SANITIZE=address,undefined OPT='-O1 -g' fuzzers

# CORPUS=merge: afterwards, what was found goes into tests/fuzz/corpus.
MINUTES ?= 10
FUZZ_CLANG = $(MAKE) --no-print-directory -s BUILD=$(BUILD)/libfuzzer CC=clang SANITIZE=fuzzer-no-link,address,undefined OPT='-O1 -g' \
	FUZZ_DRIVER= FUZZ_LDFLAGS=-fsanitize=fuzzer fuzzers
fuzz:
	@$(MAKE) --no-print-directory USES='$(USES) fuzz' deps
	@$(FUZZ_CLANG)
	@tests/fuzz/run $(BUILD)/libfuzzer/fuzz minutes $(MINUTES)
	@$(if $(CORPUS),tests/fuzz/run $(BUILD)/libfuzzer/fuzz $(CORPUS))

# What the corpora reach: driver.c goes through them, clang counts.
fuzz-coverage:
	@$(MAKE) --no-print-directory USES='$(USES) fuzz' deps
	@$(MAKE) --no-print-directory -s BUILD=$(BUILD)/fuzz-coverage CC=clang OPT='-O1 -g -fprofile-instr-generate -fcoverage-mapping' fuzzers
	@tests/fuzz/run $(BUILD)/fuzz-coverage/fuzz coverage

# AFL++ on the whole program under inetd, with the sanitizers and a real database.
fuzz-afl:
	@$(MAKE) --no-print-directory USES='$(USES) fuzz' deps
	@$(MAKE) --no-print-directory all
	@AFL_QUIET=1 $(MAKE) --no-print-directory -s BUILD=$(BUILD)/afl CC=afl-clang-fast SANITIZE=address,undefined OPT='-O1 -g' $(BUILD)/afl/posternd
	@BUILD=$(BUILD) tests/fuzz/afl $(BUILD)/afl/posternd $(BUILD)/afl/out $(MINUTES)

# ----------------------------------------------------- load, growth and soak

COUNT ?= 10000
load: deps
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/load/run --count $(COUNT)

MAILBOXES ?= 100000
growth: deps
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/growth/run --mailboxes $(MAILBOXES)

soak: MINUTES = 60
soak: deps
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/soak/run --minutes $(MINUTES)

# ---------------------------------------------------------------------- tests

# Each in a make of its own: what is built needs what `deps` installs.
check: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all unit debs fuzz-short $(BUILD)/torture/clock.so
	@BUILD=$(BUILD) tests/run

dialogue: deps
	@$(MAKE) --no-print-directory all debs
	@BUILD=$(BUILD) tests/dialogue/run.py

system: deps
	@$(MAKE) --no-print-directory all debs
	@BUILD=$(BUILD) tests/run system

service: deps
	@$(MAKE) --no-print-directory all debs
	@BUILD=$(BUILD) tests/run service

clients: deps
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/run clients

# What moves the clocks of a lab.
$(BUILD)/torture/clock.so: tests/torture/clock.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared -o $@ $< -ldl

# SEED=n: the same faults again.
torture: deps
	@$(MAKE) --no-print-directory all $(BUILD)/torture/clock.so
	@BUILD=$(BUILD) tests/torture/run --minutes $(MINUTES) --verbose $(if $(SEED),--seed $(SEED))

# ONCE=1: ends after the session it shows.
demo: deps
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) ONCE=$(ONCE) tests/demo

.PHONY: deps debs other fuzzers fuzz-short fuzz fuzz-coverage fuzz-afl check dialogue system service clients torture demo soak load growth
