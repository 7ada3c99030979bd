// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Messages name the cause and the place.

use bytelog::error::{Damage, Fault, ReadError, WriteError};
use bytelog::features::Features;
use bytelog::geometry::{BlockSize, Geometry, GeometryError};
use bytelog::tlv::{Tag, TlvError, TlvFault};

#[test]
fn read_errors_say_where() {
    let damage = Damage::Beyond {
        sealed: 3,
        commit: 5,
        at: 8256,
    };
    let error: ReadError<(), ()> = ReadError::Damaged {
        offset: 8192,
        damage,
    };
    assert_eq!(
        error.to_string(),
        "log damaged at offset 8192: the log ends after commit 3, but commit 5 is at offset 8256"
    );
    let error: ReadError<&str, ()> = ReadError::Area {
        offset: 64,
        error: "EIO",
    };
    assert_eq!(
        error.to_string(),
        "cannot read the area at offset 64: \"EIO\""
    );
    let tlv = TlvError {
        offset: 20,
        fault: TlvFault::Length(Tag::DelRange, 13),
    };
    assert_eq!(
        Fault::Tlv(tlv).to_string(),
        "DEL_RANGE TLV at 20 has length 13"
    );
    assert_eq!(WriteError::<()>::Full.to_string(), "log full");
}

#[test]
fn features_are_named() {
    let unknown: ReadError<(), ()> = ReadError::Features(Features::from_bits(4));
    assert_eq!(
        unknown.to_string(),
        "the log uses feature 0x4, which this version does not know; ByteLog of a later \
         version reads it"
    );
    let lacks = WriteError::<()>::Features(Features::DIRECTORIES);
    assert_eq!(lacks.to_string(), "the log lacks the feature: directories");
    let damage = Damage::Record(Fault::Features(Features::SPECIAL));
    assert_eq!(
        damage.to_string(),
        "the opener does not name feature 0x2, which the payload needs"
    );
    let v1 = Damage::Features(Features::SPECIAL);
    assert_eq!(v1.to_string(), "feature 0x2 in a version 1 log");
    for (bits, text) in [
        (0, "none"),
        (1, "directories"),
        (2, "special"),
        (3, "directories, special"),
        (0x8000_0002, "special, 0x80000000"),
        (4, "0x4"),
    ] {
        assert_eq!(Features::from_bits(bits).to_string(), text);
    }
}

#[test]
fn geometry_is_checked() {
    assert_eq!(BlockSize::new(512), Err(GeometryError::BlockSize(512)));
    assert_eq!(BlockSize::new(4095), Err(GeometryError::BlockSize(4095)));
    assert_eq!(
        BlockSize::new(131072),
        Err(GeometryError::BlockSize(131072))
    );
    assert_eq!(Geometry::new(4096, 1), Err(GeometryError::Blocks(1)));
    assert_eq!(Geometry::of_area(4096, 0), Err(GeometryError::Blocks(0)));
    assert_eq!(
        Geometry::of_area(4096, 8193),
        Err(GeometryError::AreaLen(8193))
    );
    let largest = Geometry::new(65536, u32::MAX).unwrap();
    assert_eq!(largest.area_len(), 65536 * u64::from(u32::MAX));
    assert_eq!(Geometry::of_area(65536, largest.area_len()), Ok(largest));
    assert_eq!(largest.log_start() + largest.log_len(), largest.area_len());
}
