// SPDX-License-Identifier: GPL-2.0

//! What is on a device instead of an ext4 filesystem, told by its magic.

use crate::store::Store;

/// Something that has a magic.
struct Kind {
    at: u64,
    magic: &'static [u8],
    what: &'static str,
    remedy: &'static str,
}

const OTHER: &str = "name the device that has the ext4 filesystem";
const DISK: &str =
    "make a raw image of it with qemu-img convert -O raw, or attach it with qemu-nbd";
const PACKED: &str = "uncompress it";
const VOLUME: &str = "name the logical volume, below /dev/mapper";
const RAID: &str = "assemble it with mdadm, and name the array";

const fn kind(at: u64, magic: &'static [u8], what: &'static str, remedy: &'static str) -> Kind {
    Kind {
        at,
        magic,
        what,
        remedy,
    }
}

const KINDS: &[Kind] = &[
    kind(
        0,
        b"LUKS\xba\xbe",
        "a LUKS volume",
        "open it with cryptsetup, and name the device below /dev/mapper",
    ),
    kind(0, b"LABELONE", "a physical volume of LVM", VOLUME),
    kind(512, b"LABELONE", "a physical volume of LVM", VOLUME),
    kind(4096, b"\xfc\x4e\x2b\xa9", "a part of a RAID array", RAID),
    kind(0, b"QFI\xfb", "a qcow2 image", DISK),
    kind(0, b"KDMV", "a VMDK image", DISK),
    kind(0, b"vhdxfile", "a VHDX image", DISK),
    kind(64, b"\x7f\x10\xda\xbe", "a VDI image", DISK),
    kind(0, b"\x1f\x8b", "a gzip file", PACKED),
    kind(0, b"\xfd7zXZ\0", "an xz file", PACKED),
    kind(0, b"\x28\xb5\x2f\xfd", "a zstd file", PACKED),
    kind(0, b"XFSB", "an XFS filesystem", OTHER),
    kind(0x10040, b"_BHRfS_M", "a Btrfs filesystem", OTHER),
    kind(1024, b"\x10\x20\xf5\xf2", "an F2FS filesystem", OTHER),
    kind(0, b"hsqs", "a squashfs filesystem", OTHER),
    kind(0x8001, b"CD001", "an ISO 9660 filesystem", OTHER),
    kind(3, b"NTFS    ", "an NTFS filesystem", OTHER),
    kind(54, b"FAT", "a FAT filesystem", OTHER),
    kind(82, b"FAT32", "a FAT filesystem", OTHER),
    kind(4086, b"SWAPSPACE2", "swap space", OTHER),
    // The last: other things have this mark, too.
    kind(
        510,
        b"\x55\xaa",
        "a disk with partitions",
        "name the partition, or for an image give --partition or --offset",
    ),
];

/// What `store` holds, and what to do about it.
pub fn of(store: &dyn Store) -> Option<(&'static str, &'static str)> {
    let found = KINDS.iter().find(|kind| {
        let end = kind.at + kind.magic.len() as u64;
        let read = (end <= store.len()).then(|| store.read(kind.at, kind.magic.len()));
        read.is_some_and(|read| read.is_ok_and(|bytes| bytes == kind.magic))
    });
    found.map(|kind| (kind.what, kind.remedy))
}
