# Tests with other eyes, each in a build of its own below $(BUILD); included by the Makefile.

# As deps, with the packages of one more group.
define with-deps
@$(MAKE) --no-print-directory deps USES='build run test $(1)'
endef

# The whole suite with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer; then what has
# threads (daemon/base/thread.h) with ThreadSanitizer. The fuzzers are always built with the first three.
SANITIZED = BUILD=$(BUILD)/sanitized SANITIZE=address,undefined OPT='-O1 -g'
THREADED = test_names test_spool test_spool_beside
check-sanitized: deps
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(SANITIZED) all unit debs
	@env $(SANITIZED) tests/run unit dialogue system lmtp service clients
	@$(MAKE) --no-print-directory -s -j$$(nproc) BUILD=$(BUILD)/threads SANITIZE=thread OPT='-O1 -g' $(THREADED:%=$(BUILD)/threads/unit/%)
	@for t in $(THREADED); do $(BUILD)/threads/unit/$$t || exit 1; done

# The conversations with the daemon and with --inetd, posternd under valgrind: no error, and no block lost.
# Without its sandbox, as valgrind reads and writes files of its own.
VALGRIND = $(BUILD)/valgrind
UNDER_VALGRIND = BUILD=$(VALGRIND)/real CPPFLAGS=-DPOSTERN_SANITIZED
check-valgrind:
	$(call with-deps,valgrind)
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(UNDER_VALGRIND) all debs
	@rm -rf $(VALGRIND)/reports && mkdir -m 1777 $(VALGRIND)/reports
	@install -m 755 tests/checks/valgrind $(VALGRIND)/posternd
	@env $(UNDER_VALGRIND) POSTERN_LAB_POSTERND=$(VALGRIND)/posternd tests/dialogue/run.py --mode tcp --mode tls --mode socket --mode pipe
	@test -n "$$(ls $(VALGRIND)/reports)"
	@find $(VALGRIND)/reports -type f -size +0 -exec cat {} + | tee $(VALGRIND)/found; test ! -s $(VALGRIND)/found

# Every allocation fails once, and once with all that follow it; `make check` has some of them.
check-allocations: deps
	@$(MAKE) --no-print-directory all
	@FAILING_EACH=1 BUILD=$(BUILD) tests/run --one tests/system/test_failing.py

# Descriptors and memory of each process, before and after.
SESSIONS ?= 100000
check-leaks: deps
	@$(MAKE) --no-print-directory all
	@LEAK_SESSIONS=$(SESSIONS) BUILD=$(BUILD) tests/run --one tests/system/test_leaks.py

# How long nobody is served when the database's first server dies or hangs and its standby takes over.
TIMES ?= 3
failover: deps
	@$(MAKE) --no-print-directory all
	@for n in $$(seq $(TIMES)); do \
	    said=$$(BUILD=$(BUILD) tests/run --one tests/system/test_failover.py 2>&1) || { echo "$$said"; exit 1; }; \
	    echo "$$said" | grep -E '^(primary|old primary|acknowledged|[0-9]+ passed)'; done

# Lines and branches that the suite reaches, the fuzzers' corpora too, by folder. Counters of a process that is killed are lost.
COVERED = BUILD=$(BUILD)/coverage COVERAGE=1
FOLDERS = $(shell find daemon storage auth admin -name '*.c' -printf '%h\n' | sort -u)
coverage:
	$(call with-deps,coverage)
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(COVERED) all unit fuzzers debs
	@find $(BUILD)/coverage -name '*.gcda' -delete
	@# Workers and helpers are other users, and all write to the same files.
	@find $(BUILD)/coverage -name '*.gcno' | sed 's/gcno$$/gcda/' | while read -r f; do : >"$$f"; chmod 666 "$$f"; done
	@-env $(COVERED) tests/run unit dialogue system lmtp service clients
	@-tests/fuzz/run $(BUILD)/coverage/fuzz short
	@for f in $(FOLDERS); do printf '%s: ' $$f; \
	    gcovr -r . --object-directory $(BUILD)/coverage -f "$$f/[^/]*" -s $(BUILD)/coverage | awk '/^(lines|branches)/ { printf "%s %s  ", $$1, $$2 } END { print "" }'; done

# The two names only have to be texts.
TIDY_FLAGS = -I. -D_GNU_SOURCE -DPOSTERN_VERSION=__FILE__ -DPOSTERN_SYSCONFDIR=__FILE__ $(PKG_CFLAGS)

# Looks without running; quiet if all is well.
analyze:
	$(call with-deps,lint)
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -s -j$$(nproc) BUILD=$(BUILD)/analyzed CFLAGS='-fanalyzer -fanalyzer-verbosity=0 -Werror' all
	@find daemon storage auth admin -name '*.c' | sort | \
	xargs -P$$(nproc) -n8 sh -c 'clang-tidy --quiet "$$@" -- -std=c11 -w $(TIDY_FLAGS) 2>/dev/null' tidy

.PHONY: check-sanitized check-valgrind check-allocations check-leaks failover coverage analyze

# Includes that climb, circles, files and lines that are too long, ids of no requirement; also part of `make check`.
structure:
	@tests/checks/structure
.PHONY: structure
