# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # what is set here is for those who source it
#
# Common ground of the scripts here; sourced, never run.
#
# A script runs either on the host or inside the build root (BYTELOG_INSIDE=1).  Inside, the repository has the same
# path as outside and the cache is /cache.

set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$REPO/build
# The suite of the build root.  The distribution kernels of its backports are what the modules are made for.
SUITE=trixie
# A series, a version, a full name, "debug" (scripts/debug-kernel), or "default", which scripts/kernel decides.
KERNEL=${KERNEL:-default}
JOBS=${JOBS:-$(nproc)}

if [[ -n ${BYTELOG_INSIDE:-} ]]; then
	CACHE=${BYTELOG_INNER_CACHE:-/cache} # elsewhere in a build by DKMS
else
	home=~ # works without HOME, too
	CACHE=$(realpath -m "${BYTELOG_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/bytelog}")
	BYTELOG_SHOWN=$CACHE # what to call it in messages
fi
ROOT=$CACHE/root
export BYTELOG_T0=${BYTELOG_T0:-$(date +%s)}

say() {
	local t=$(($(date +%s) - BYTELOG_T0))
	printf '==> [%d:%02d] %s\n' $((t / 60)) $((t % 60)) "$*"
}

warn() {
	printf '%s\n' "$@" >&2
}

die() {
	warn "${@/#/*** }"
	exit 1
}

# step LOGNAME TEXT CMD...: announce, run with the output in a log, show the end of the log where it fails.  V=1 shows
# all of it.  In an "if", or before "||" or "&&", bash ignores -e also inside a function, which would then go on behind
# what failed in it: there CMD has to be a program.
step() {
	local dir=$BUILD/log log ignored rc=0
	[[ ${STEP_LOGS:-} ]] && dir=$STEP_LOGS
	log=$dir/$1.log
	say "$2"
	mkdir -p "$dir"
	shift 2
	set +e
	(set -e; false; exit 2)
	ignored=$?
	set -e
	[[ $ignored == 1 || $(type -t "$1") != function ]] || die "step: the function $1 is called where bash ignores -e"
	# Not "|| rc=$?": that would switch -e off inside a function that is called here.
	set +e
	if [[ ${V:-} == 1 ]]; then
		(set -e; "$@") </dev/null 2>&1 | tee "$log"
		rc=${PIPESTATUS[0]}
	else
		(set -e; "$@") </dev/null >"$log" 2>&1
		rc=$?
	fi
	set -e
	((rc == 0)) && return
	warn "*** That failed. The last lines of ${log/#\/cache/$BYTELOG_SHOWN}:"
	tail -n "${LOG_LINES:-25}" "$log" | sed 's/^/    /' >&2
	return "$rc"
}

# A step that was finished leaves a stamp: a file named by the step and by a hash of what it was made from, so that a
# change of that does the step again.
hash_of() {
	sha256sum | cut -c1-16
}

stamped() {
	[[ -e $1.$2 ]]
}

stamp() {
	rm -f "$1".*
	touch "$1.$2"
}

# lock FILE {-s|-x} MESSAGE: hold FILE until this process and its children end, or stop politely.
lock() {
	local fd
	mkdir -p "$(dirname "$1")"
	exec {fd}>>"$1"
	flock -n "$2" "$fd" || die "$3" "(lock: ${1/#\/cache/$BYTELOG_SHOWN})"
}

# build_lock NAME: the same for a build in this tree, which is short: wait for the other one.
build_lock() {
	local fd
	mkdir -p "$BUILD/.lock"
	exec {fd}>>"$BUILD/.lock/$1"
	flock -n "$fd" && return
	say "waiting for another make that is building here"
	flock -w 600 "$fd" || die "it is still at it; try again later (lock: $BUILD/.lock/$1)"
}

# Sets KVER and what belongs to it, once scripts/kernel has chosen and prepared that kernel.
load_kernel() {
	[[ -e $CACHE/kernel/chosen-$KERNEL ]] ||
		die "no kernel has been prepared for KERNEL=$KERNEL: run make setup KERNEL=$KERNEL"
	KVER=$(cat "$CACHE/kernel/chosen-$KERNEL")
	KSERIES=$(cut -d. -f1,2 <<<"$KVER")
	KBASE=$CACHE/kernel/$KVER
	KDIR=$KBASE/linux
	OUT=$BUILD/$KVER
	# shellcheck source=/dev/null
	. "$KBASE/vars" # KCC, KLOCAL, KIMAGE
	export KVER KSERIES KBASE KDIR OUT KCC KLOCAL KIMAGE
}

# For what runs a machine: the archive can have the headers of a kernel before it has its image.
need_image() {
	[[ -n $KIMAGE ]] || die "the archive has no image of $KVER yet: nothing can be run." \
		"make update looks for one; KERNEL=x.y takes another series, of which there are: $(hook_series)"
}

# The series that there are hook patches for.
hook_series() {
	(cd "$REPO/fs/ext4" && printf '%s\n' patches-*/) | sed 's/patches-//; s|/||' | sort -V | xargs
}

# The patches of series $1, in their order.  A line that ends in "# only S..." names a patch that other series do without.
hook_patches() {
	sed "/# only /{/# only.* ${1/./\\.}\( \|$\)/!d}; s/#.*//; s/[[:space:]]//g; /^$/d" "$REPO/fs/ext4/patches-$1/series"
}

# The kernel's build takes no blanks and no colons in a path.
check_paths() {
	[[ $REPO != *[[:space:]:]* ]] || die "the kernel's build cannot work under a path with blanks or colons: $REPO" \
		"Move this directory to another path."
	[[ $CACHE != *[[:space:]:]* ]] || die "the kernel's build cannot work under a path with blanks or colons: $CACHE" \
		"BYTELOG_CACHE=DIR names another one."
}

# kmake ARGS...: the kernel's make, with the parameters the distribution used.
kmake() {
	make -C "$KDIR" -j"$JOBS" CC="$KCC" LOCALVERSION="$KLOCAL" "$@"
}

# Called at the top of a script that needs the tools of the build root: start over inside it.
need_root() {
	[[ -n ${BYTELOG_INSIDE:-} ]] && return
	exec "$REPO/scripts/in-root" "$(realpath "$0")" "$@"
}

# as_root CMD...: as root, or as root of a user namespace.
as_root() {
	if ((EUID == 0)); then
		"$@"
	else
		unshare --user --map-root-user --map-auto --mount "$@"
	fi
}

# Remove a tree that as_root made.
remove_tree() {
	[[ ! -e $1 ]] || as_root rm -rf --one-file-system "$1"
}

# sync_sources DEST SRC...: bring a directory that things are built in up to date, leaving what was built there, and the
# times of files that did not change.  rsync's rules: SRC/ is its content, SRC itself.
sync_sources() {
	local dest=$1 p filter=()
	for p in '*.o' '*.ko' '*.mod' '*.mod.c' '*.cmd' '*.d' '*.symvers' modules.order '*_generated.rs'; do
		filter+=(--filter="P $p" --exclude="$p")
	done
	shift
	mkdir -p "$dest"
	rsync -rlpc --delete "${filter[@]}" "$@" "$dest/"
}
