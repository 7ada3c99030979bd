// SPDX-License-Identifier: GPL-2.0

//! Feature bits of a log, as text and as JSON.

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// The bits of an opener. JSON has a list of names; bits that are not known are in it
/// as hexadecimal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(pub bytelog::features::Features);

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names = serializer.serialize_seq(None)?;
        for bit in (0..32).map(|bit| 1 << bit) {
            if self.0.bits() & bit != 0 {
                let one = bytelog::features::Features::from_bits(bit);
                names.serialize_element(&one.to_string())?;
            }
        }
        names.end()
    }
}

impl JsonSchema for Features {
    fn schema_name() -> Cow<'static, str> {
        "Features".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names of the opener's feature bits, hexadecimal where not known.",
            "type": "array",
            "items": { "type": "string" },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_named() {
        let of = |bits| Features(bytelog::features::Features::from_bits(bits));
        let json = |bits| serde_json::to_string(&of(bits)).unwrap_or_default();
        assert_eq!(json(0), "[]");
        let all = r#"["directories","special","0x80000000"]"#;
        assert_eq!(json(0x8000_0003), all);
        assert_eq!(of(2).to_string(), "special");
    }
}
