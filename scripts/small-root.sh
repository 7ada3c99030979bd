# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # PACKAGES is for those who source this to set
#
# Small Debians for the virtual machine, made of packages and packed as images; sourced, never run.
#
# The packages are unpacked, not installed: none of their scripts runs.  Whoever sources this is in the build root and
# sets PACKAGES, DIR (where it all is, under $CACHE) and TREE (the root itself, below DIR).

small_root_apt() {
	apt-get -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Dir::State::status="$DIR/none" \
		-o Dir::Cache::archives="$DIR/archives" -t "$SUITE" --yes "$@"
}

# Fetches PACKAGES and what they depend on.
small_root_download() {
	mkdir -p "$DIR/archives/partial"
	: >"$DIR/none"
	# A list of packages that is out of date names files that are gone.
	small_root_apt --download-only install "${PACKAGES[@]}" ||
		{ small_root_apt update && small_root_apt --download-only install "${PACKAGES[@]}"; }
}

# small_root_unpack USER:ID...: makes TREE of them, with the users and the groups of these names.
small_root_unpack() {
	local deb user
	rm -rf "$TREE"
	mkdir -p "$TREE"
	# First the package with the links that say where /bin and /lib are.
	for deb in "$DIR"/archives/base-files_*.deb "$DIR"/archives/*.deb; do
		dpkg --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$TREE"
	done
	rm -rf "$TREE"/usr/share/{doc,man,locale,info,i18n} "$TREE"/usr/lib/firmware
	cp "$TREE/usr/share/base-passwd/passwd.master" "$TREE/etc/passwd"
	cp "$TREE/usr/share/base-passwd/group.master" "$TREE/etc/group"
	for user in "$@"; do
		echo "${user%:*}:x:${user#*:}:${user#*:}::/tmp:/bin/bash" >>"$TREE/etc/passwd"
		echo "${user%:*}:x:${user#*:}:" >>"$TREE/etc/group"
	done
	ln -sf bash "$TREE/usr/bin/sh"
	ln -sf /proc/self/mounts "$TREE/etc/mtab"
	mkdir -p "$TREE"/{proc,sys,dev,tmp,mnt,root}
	ldconfig -r "$TREE"
	rm -rf "$DIR/archives"
}

# TREE as DIR/root.img.  Little compression: the machine that unpacks it is an emulated one.
small_root_pack() {
	chroot "$TREE" mksquashfs / /mnt/root.img -noappend -quiet -no-progress -comp zstd -Xcompression-level 1 -e mnt/root.img
	mv "$TREE/mnt/root.img" "$DIR/root.img"
}

# small_root_make WHAT UNPACK: DIR/root.img, unless it is there; WHAT names its purpose, UNPACK makes TREE.
small_root_make() {
	local hash
	hash=$(cat "$0" "$REPO/scripts/small-root.sh" | hash_of)
	mkdir -p "$DIR"
	lock "$DIR/lock" -x "another make is making $DIR; try again later"
	stamped "$DIR/.made" "$hash" && [[ -e $DIR/root.img ]] && return
	step guest-download "downloading what $1 runs in" small_root_download
	step guest-unpack "unpacking it" "$2"
	step guest-pack "packing it as an image" small_root_pack
	stamp "$DIR/.made" "$hash"
}
