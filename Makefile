# A thin front for meson: each target installs what it needs (scripts/bootstrap) and calls the one tool that does the work.

FUZZ_SECONDS ?= 60
PYTHON := /usr/bin/python3
prefix ?= /usr/local
sbindir ?= $(prefix)/sbin
libdir ?= $(prefix)/lib
mandir ?= $(prefix)/share/man
docdir ?= $(prefix)/share/doc/postern
unitdir ?= $(prefix)/lib/systemd/system
sysusersdir ?= $(prefix)/lib/sysusers.d
sysconfdir ?= /etc

.PHONY: help build run check e2e lint fuzz bench cover install clean

help:
	@echo 'make build     the program: build/postern'
	@echo 'make run       try it: the gateway on 127.0.0.1:2525 in front of a small mailbox server; DEMO=--play is a show'
	@echo 'make check     lint, and all tests; ends with one line "N passed, N failed"'
	@echo 'make e2e       the end-to-end tests alone; E2E="-k NAME" picks some'
	@echo 'make lint      what the compiler does not see, and a build with clang'
	@echo 'make fuzz      every fuzzer for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'make bench     CPU time and memory beside a bare loop and other servers, questions to DNS; BENCH=--quick is short'
	@echo 'make cover     which lines the unit, wire and corpus tests reach: build-cover/coverage.html'
	@echo 'make install   program, manuals, configuration, systemd unit; DESTDIR, prefix=$(prefix)'
	@echo 'make clean     remove all build folders'

build:
	@scripts/bootstrap build
	@scripts/configure build
	@ninja -C build src/cmd/postern src/store/postgres.so
	@ln -sf src/cmd/postern build/postern

run:
	@scripts/bootstrap run
	@$(MAKE) --no-print-directory build
	@$(PYTHON) scripts/demo $(DEMO)

check:
	@scripts/bootstrap check
	@$(PYTHON) scripts/check

e2e:
	@scripts/bootstrap check
	@$(PYTHON) scripts/check e2e $(E2E)

lint:
	@scripts/bootstrap lint
	@$(PYTHON) scripts/lint

fuzz:
	@scripts/bootstrap fuzz
	@$(PYTHON) scripts/fuzz $(FUZZ_SECONDS)

bench:
	@scripts/bootstrap bench
	@$(MAKE) --no-print-directory build
	@ninja -C build bench/floor bench/load bench/policy_load bench/policy_bench bench/store_bench bench/tls_attack
	@$(PYTHON) bench/run $(BENCH)

cover:
	@scripts/bootstrap cover
	@scripts/configure build-cover -Db_coverage=true -Dtests=enabled
	@meson test -C build-cover
	@gcovr --root . --filter src/ --print-summary --html-details build-cover/coverage.html build-cover

# postern.conf and policy are the administrator's: an existing one stays, and the new one lies beside it as FILE.new.
# The program is told where its module will be.
install: build
	@meson configure build -Dprefix=$(prefix) -Dlibdir=$(libdir)
	@ninja -C build src/cmd/postern src/store/postgres.so
	install -D -m 755 build/postern $(DESTDIR)$(sbindir)/postern
	install -D -m 644 build/src/store/postgres.so $(DESTDIR)$(libdir)/postern/postgres.so
	install -d $(DESTDIR)$(mandir)/man5 $(DESTDIR)$(mandir)/man8
	install -m 644 man/*.5 $(DESTDIR)$(mandir)/man5
	install -m 644 man/*.8 $(DESTDIR)$(mandir)/man8
	install -d $(DESTDIR)$(sysconfdir)/postern
	for file in postern.conf policy; do \
	    if test -e $(DESTDIR)$(sysconfdir)/postern/$$file; then new=.new; else new=; fi; \
	    install -m 644 etc/$$file $(DESTDIR)$(sysconfdir)/postern/$$file$$new; \
	done
	install -m 644 etc/well-known-senders $(DESTDIR)$(sysconfdir)/postern/well-known-senders
	install -d $(DESTDIR)$(docdir)/examples
	install -m 644 etc/content/* $(DESTDIR)$(docdir)/examples
	install -D -m 644 etc/fail2ban/postern.conf $(DESTDIR)$(sysconfdir)/fail2ban/filter.d/postern.conf
	install -d $(DESTDIR)$(unitdir)
	sed 's,/usr/sbin/postern,$(sbindir)/postern,' etc/postern.service > $(DESTDIR)$(unitdir)/postern.service
	chmod 644 $(DESTDIR)$(unitdir)/postern.service
	install -D -m 644 etc/postern.sysusers $(DESTDIR)$(sysusersdir)/postern.conf
	install -D -m 644 LICENSE $(DESTDIR)$(docdir)/LICENSE
	@if test "$$(id -u)" -eq 0; then chown -R --reference=. build; fi # sudo make install: the builder builds again

clean:
	@$(PYTHON) scripts/demo_folder.py build/demo
	rm -rf build build-san build-clang build-fuzz build-cover
