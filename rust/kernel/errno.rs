// SPDX-License-Identifier: GPL-2.0

//! Error codes that [`kernel::error::code`] lacks.
//!
//! C header: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)

use crate::bindings;
use kernel::{ffi::c_int, prelude::*};

/// `ECANCELED`: ext4 takes it for a transaction that cannot commit fast.
pub(crate) fn canceled() -> Error {
    Error::from_errno(-(bindings::ECANCELED as c_int))
}

/// `EOPNOTSUPP`: neither this mount nor this device can do it.
pub(crate) fn not_supported() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}

/// `EBADMSG`, which ext4 and jbd2 call `EFSBADCRC`.
pub(crate) fn bad_crc() -> Error {
    Error::from_errno(-(bindings::EBADMSG as c_int))
}

/// `EHWPOISON`: the device knows that what is there is lost.
pub(crate) fn poisoned() -> Error {
    Error::from_errno(-(bindings::EHWPOISON as c_int))
}
