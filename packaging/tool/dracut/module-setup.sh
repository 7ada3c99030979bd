#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What dracut takes into an initramfs for ByteLog, in the way that its modules have: ext4's backend, which nothing but a
# mount asks for, and the tool, for a shell after a root that cannot be mounted.

check() {
	# shellcheck disable=SC2154 # kernel is dracut's
	modinfo -k "$kernel" ext4_bytelog >/dev/null 2>&1
}

depends() {
	return 0
}

installkernel() {
	instmods ext4 ext4_bytelog
}

install() {
	# fsck.ext4 is the tool where its package is installed, and runs e2fsck.
	inst_multiple -o bytelog fsck.ext4 e2fsck
}
