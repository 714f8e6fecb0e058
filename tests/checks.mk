# Tests with other eyes, each in a build of its own below $(BUILD); included by the Makefile.

# As deps, with the packages of one more group.
define with-deps
@$(MAKE) --no-print-directory deps USES='build run test $(1)'
endef

# The whole suite with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer. There is no
# ThreadSanitizer: no process has a second thread of ours. The fuzzers are always built like this.
SANITIZED = BUILD=$(BUILD)/sanitized SANITIZE=address,undefined OPT='-O1 -g'
check-sanitized: deps
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(SANITIZED) all unit debs
	@env $(SANITIZED) tests/run unit dialogue system lmtp service clients

# Looks without running; quiet if all is well.
analyze:
	$(call with-deps,lint)
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -s -j$$(nproc) BUILD=$(BUILD)/analyzed CFLAGS='-fanalyzer -fanalyzer-verbosity=0 -Werror' all
	@ls daemon/*.c daemon/*/*.c storage/*.c auth/*.c admin/*.c | \
	xargs -P$$(nproc) -n8 sh -c 'clang-tidy --quiet "$$@" -- -std=c11 $(ALL_CPPFLAGS) $(PKG_CFLAGS) 2>$(BUILD)/analyzed/tidy.$$$$ || { cat $(BUILD)/analyzed/tidy.$$$$ >&2; exit 1; }' tidy

.PHONY: check-sanitized analyze
