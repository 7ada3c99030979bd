// SPDX-License-Identifier: GPL-2.0

//! Tracepoints that the module itself defines. The kernel crate's
//! `declare_trace!` looks for them in the crate's own bindings, where those of a
//! module outside the kernel's tree are not.
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)

/// Declares the Rust side of tracepoints whose arguments are all integers. Each
/// function does nothing, behind a static branch, while nobody listens.
macro_rules! declare_traces {
    ($($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?);)*) => {$(
        $(#[$doc])*
        // A tracepoint has as many arguments as fields.
        #[allow(clippy::too_many_arguments)]
        #[inline(always)]
        $vis fn $name($($arg: $type),*) {
            #[cfg(CONFIG_TRACEPOINTS)]
            ::kernel::macros::paste! {
                // SAFETY: `DEFINE_TRACE()` has defined the tracepoint with its key.
                let enabled = unsafe {
                    ::kernel::jump_label::static_branch_unlikely!(
                        $crate::bindings::[<__tracepoint_ $name>],
                        $crate::bindings::tracepoint,
                        key
                    )
                };
                if enabled {
                    // SAFETY: The arguments are plain numbers, valid for every caller.
                    unsafe { $crate::bindings::[<rust_do_trace_ $name>]($($arg),*) };
                }
            }
            #[cfg(not(CONFIG_TRACEPOINTS))]
            let _ = ($($arg),*);
        }
    )*};
}

pub(crate) use declare_traces;
