# SPDX-License-Identifier: GPL-2.0
#
# The user's way in; "make help" tells.  The work is done by scripts/, mostly inside a build root that the first run
# makes.  Kbuild, next to this file, is the kernel's: it is used from a copy (scripts/build-modules).

KERNEL ?= default
PREFIX ?= /usr/local
JOBS   ?= $(shell nproc)
ACCEL  ?= tcg
export KERNEL PREFIX DESTDIR JOBS ACCEL CUTS SEED XFSTESTS TESTS LIMIT NUMBER COUNT STOCK DAX E2FSPROGS FILTER ADVISORIES V MIRROR BYTELOG_CACHE LOG_LINES
export BYTELOG_T0 := $(shell date +%s)

# Scripts enter the build root by themselves.
S := scripts

all: modules tools
	@$S/initramfs

help:
	@$S/help

setup:
	@$S/setup

update:
	@$S/setup update

modules: setup
	@$S/build-ext4
	@$S/build-modules

tools: setup
	@$S/build-tools

demo: all
	@$S/vm demo $(ARGS)

vm: all
	@$S/vm shell $(ARGS)

test: all
	@$S/test $(ARGS)

# Random cuts in the machine: CUTS=N of them, from seed SEED=N on.
soak: all
	@$S/soak

# The same with a module that leaves out the flush: it has to lose something.
soak-no-flush: all
	@$S/soak no-flush

# The same cuts of ext4's own fast commits, of which some lose something.
soak-stock: all
	@$S/soak stock

# Of a filesystem on a disk: what an fsync owes of the file's data is not flushed.
soak-no-data-flush: all
	@EXTERNAL=1 $S/soak no-data-flush

# Every state that a power cut can leave, and deliberate defects; SEED=N repeats a run.
check-crash: setup tools
	@$S/check-crash

# Short workloads, cut everywhere: LIMIT=N seconds of them, all without; NUMBER=N repeats one, STOCK=1 is ext4's own.
check-short: all
	@$S/check-short

# The test images of e2fsprogs through every subcommand: E2FSPROGS= is a checkout, FILTER= a part of their names.
check-images: setup tools
	@$S/check-images

# The crates in Cargo.lock against deny.toml, and ADVISORIES=, a checkout of the RustSec database.
check-advisories: setup
	@$S/check-crates

# Coverage-guided fuzzing of what reads a log, LIMIT=N seconds (60) for each target.
fuzz: setup
	@$S/fuzz $(ARGS)

# The module's own stores, write-backs and fences, recorded and checked; SEED=N gives another workload.
check-trace: all
	@$S/check-trace

# The hook patch, step by step: each one builds.
check-steps: setup
	@$S/check-steps

# A kernel that watches itself, for KERNEL=debug.
debug-kernel:
	@$S/setup
	@$S/debug-kernel

# xfstests on stock ext4 and with ByteLog: XFSTESTS= is an installed one, TESTS= what is run of it.
xfstests: all
	@$S/xfstests $(ARGS)

# What an fsync costs, against stock ext4: tables and build/bench.
bench: all
	@$S/bench $(ARGS)

# What a transaction of PostgreSQL costs: tables and build/bench/database.json.
bench-database: all
	@$S/bench-database $(ARGS)

# What the fsyncs of programs cost, and which of their commits are fast: tables and build/workloads/workloads.json.
workloads: all
	@$S/workloads $(ARGS)

# Modules to DESTDIR/lib/modules/V/updates, the rest below DESTDIR/PREFIX.
install: modules tools
	@$S/install

# Debian packages in build/deb: tool, modules, sources for DKMS.
deb: modules tools
	@$S/deb

# They are installed, upgraded and removed, and an ext4 root is booted each time.
test-packages: all
	@$S/test-packages

clean:
	@$S/clean

distclean:
	@$S/clean cache

.PHONY: all help setup update modules tools demo vm test check-crash check-short check-images check-advisories fuzz \
	check-trace check-steps soak soak-no-flush soak-stock soak-no-data-flush xfstests debug-kernel bench bench-database workloads install deb test-packages clean distclean
.NOTPARALLEL:
