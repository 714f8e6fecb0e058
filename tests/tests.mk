# Tests and what they need; included by the Makefile.

# Packages of these groups in the file `packages`.
NEEDED = $(shell awk '$$1 == "build" || $$1 == "run" || $$1 == "test" { print $$2 }' packages)

# Silent, and without apt, where all is there.
deps:
	@missing=; for p in $(NEEDED); do \
	    dpkg-query -W -f='$${Status}\n' $$p 2>/dev/null | grep -q '^install ok installed$$' || missing="$$missing $$p"; \
	done; \
	test -z "$$missing" && exit 0; \
	sudo=; test "$$(id -u)" = 0 || sudo=sudo; \
	echo "installing:$$missing"; \
	$$sudo apt-get update -q && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing

# They cannot be installed beside xinetd, but they can be unpacked.
$(BUILD)/debs/%-inetd:
	@mkdir -p $(BUILD)/debs
	cd $(BUILD)/debs && { apt-get download -q $*-inetd || { apt-get update -q && apt-get download -q $*-inetd; }; }
	dpkg -x $(BUILD)/debs/$*-inetd_*.deb $@.tmp
	mv $@.tmp $@

# Installed it would be a service that is started.
$(BUILD)/debs/fail2ban:
	@mkdir -p $(BUILD)/debs
	cd $(BUILD)/debs && { apt-get download -q fail2ban || { apt-get update -q && apt-get download -q fail2ban; }; }
	dpkg -x $(BUILD)/debs/fail2ban_*.deb $@.tmp
	mv $@.tmp $@

debs: $(BUILD)/debs/openbsd-inetd $(BUILD)/debs/inetutils-inetd $(BUILD)/debs/fail2ban

# Each in a make of its own: what is built needs what `deps` installs.
check: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all unit debs
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

# ONCE=1: ends after the session it shows.
demo: deps
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) ONCE=$(ONCE) tests/demo

.PHONY: deps debs check dialogue system service clients demo
