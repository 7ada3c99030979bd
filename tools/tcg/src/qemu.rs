// SPDX-License-Identifier: GPL-2.0

//! QEMU's plugin interface, version 4, and the part of GLib that it needs. No
//! package has the header; these are declarations of what QEMU 10 exports
//! (docs/devel/tcg-plugins, include/qemu/qemu-plugin.h in its source).
//!
//! All unsafe code of the recorder is here. QEMU calls back on the thread of the
//! one CPU, and at exit.

use crate::counter::Entry;
use crate::insn::{self, Insn};
use crate::observer::{self, Watch};
use crate::site::Site;
use anyhow::{ensure, Context, Result};
use bytelog_trace::event::{Store, STORE_MAX};
use iced_x86::Register;
use std::ffi::{c_char, c_int, c_uint, c_void, CStr};
use std::ptr;
use std::sync::{Mutex, OnceLock};

/// Version of the interface that this is written for; QEMU looks for the symbol.
#[no_mangle]
pub static qemu_plugin_version: c_int = 4;

/// `qemu_plugin_id_t`.
type Id = u64;

/// `enum qemu_plugin_cb_flags`.
const NO_REGISTERS: c_int = 0;
const READS_REGISTERS: c_int = 1;

/// `enum qemu_plugin_mem_rw`.
const WRITES: c_int = 2;

/// Longest x86 instruction, bytes.
const INSN_MAX: usize = 15;

/// `struct qemu_info_t`, up to what is used of it.
#[repr(C)]
pub struct Info {
    target: *const c_char,
    version_min: c_int,
    version_now: c_int,
    system: bool,
    cpus: c_int,
    max_cpus: c_int,
}

/// `qemu_plugin_mem_value`.
#[repr(C)]
struct MemValue {
    kind: c_int,
    low: u64,
    high: u64,
}

/// `qemu_plugin_reg_descriptor`.
#[repr(C)]
struct RegisterDescriptor {
    handle: *mut c_void,
    name: *const c_char,
    feature: *const c_char,
}

/// `GArray` and `GByteArray`.
#[repr(C)]
struct Array<T> {
    data: *mut T,
    len: c_uint,
}

extern "C" {
    fn qemu_plugin_register_vcpu_init_cb(id: Id, f: extern "C" fn(Id, c_uint));
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, f: extern "C" fn(Id, *mut c_void));
    fn qemu_plugin_tb_n_insns(tb: *const c_void) -> usize;
    fn qemu_plugin_tb_get_insn(tb: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_data(insn: *const c_void, to: *mut c_void, len: usize) -> usize;
    fn qemu_plugin_insn_vaddr(insn: *const c_void) -> u64;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut c_void,
        f: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_tb_vaddr(tb: *const c_void) -> u64;
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        tb: *mut c_void,
        f: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut c_void,
        f: extern "C" fn(c_uint, u32, u64, *mut c_void),
        flags: c_int,
        rw: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_get_hwaddr(info: u32, va: u64) -> *const c_void;
    fn qemu_plugin_hwaddr_is_io(hwaddr: *const c_void) -> bool;
    fn qemu_plugin_hwaddr_phys_addr(hwaddr: *const c_void) -> u64;
    fn qemu_plugin_mem_size_shift(info: u32) -> c_uint;
    fn qemu_plugin_mem_get_value(info: u32) -> MemValue;
    fn qemu_plugin_get_registers() -> *mut Array<RegisterDescriptor>;
    fn qemu_plugin_read_register(handle: *mut c_void, to: *mut Array<u8>) -> c_int;
    fn qemu_plugin_read_memory_vaddr(va: u64, to: *mut Array<u8>, len: usize) -> bool;
    fn g_byte_array_new() -> *mut Array<u8>;
    fn g_byte_array_free(array: *mut Array<u8>, segment: c_int) -> *mut u8;
    fn g_array_free(array: *mut Array<RegisterDescriptor>, segment: c_int) -> *mut c_void;
}

static WATCH: Mutex<Option<Watch>> = Mutex::new(None);

/// Names of the general registers, in the order of their numbers.
const NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// A register's handle, which QEMU keeps.
#[derive(Clone, Copy)]
struct Handle(*mut c_void);

// SAFETY: Only handed back to QEMU, on the CPU's thread.
unsafe impl Send for Handle {}
// SAFETY: As above.
unsafe impl Sync for Handle {}

/// By number.
static REGISTERS: OnceLock<[Option<Handle>; NAMES.len()]> = OnceLock::new();

/// Tells who watches. A trace with a hole in it is worse than none: an error ends
/// QEMU.
fn tell(f: impl FnOnce(&mut Watch) -> Result<()>) {
    let mut watch = match WATCH.lock() {
        Ok(watch) => watch,
        Err(poisoned) => poisoned.into_inner(),
    };
    if let Some(Err(error)) = watch.as_mut().map(f) {
        eprintln!("bytelog-tcg: {error:#}");
        std::process::abort();
    }
}

/// Called by QEMU when it has loaded the plugin.
///
/// # Safety
///
/// `info` and the `argc` strings at `argv` are valid, as QEMU has it.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    info: *const Info,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU passes valid pointers, by this function's requirements.
    match unsafe { install(&*info, argc, argv) } {
        Ok(()) => {
            // SAFETY: `id` is ours, and the functions have the types declared.
            unsafe {
                qemu_plugin_register_vcpu_init_cb(id, cpu_starts);
                qemu_plugin_register_vcpu_tb_trans_cb(id, translates);
            }
            0
        }
        Err(error) => {
            eprintln!("bytelog-tcg: {error:#}");
            1
        }
    }
}

/// # Safety
///
/// As for [`qemu_plugin_install`].
unsafe fn install(info: &Info, argc: c_int, argv: *const *const c_char) -> Result<()> {
    // SAFETY: A valid string, by the requirements.
    let target = unsafe { CStr::from_ptr(info.target) };
    ensure!(target == c"x86_64", "not for {target:?}");
    ensure!(
        info.version_min <= qemu_plugin_version && qemu_plugin_version <= info.version_now,
        "QEMU has versions {} to {} of the plugin interface, not {qemu_plugin_version}",
        info.version_min,
        info.version_now
    );
    ensure!(
        info.system && info.max_cpus == 1,
        "only for a machine with one CPU"
    );
    let args = (0..usize::try_from(argc)?).map(|number| {
        // SAFETY: There are `argc` valid strings, by the requirements.
        let arg = unsafe { CStr::from_ptr(*argv.add(number)) };
        arg.to_str().context("an argument")
    });
    let args = args.collect::<Result<Vec<_>>>()?;
    let watch = Watch::new(args.into_iter())?;
    *WATCH.lock().unwrap_or_else(|poison| poison.into_inner()) = Some(watch);
    Ok(())
}

/// The CPU is there: its registers can be asked for.
extern "C" fn cpu_starts(_: Id, _: c_uint) {
    let mut handles = [None; NAMES.len()];
    // SAFETY: This is the callback that may ask; the array is ours, its descriptors
    // and their names are valid.
    unsafe {
        let array = qemu_plugin_get_registers();
        for number in 0..(*array).len as usize {
            let descriptor = &*(*array).data.add(number);
            let name = CStr::from_ptr(descriptor.name);
            let known = NAMES.iter().zip(&mut handles);
            for (_, handle) in known.filter(|(known, _)| name.to_bytes() == known.as_bytes()) {
                *handle = Some(Handle(descriptor.handle));
            }
        }
        g_array_free(array, 1);
    }
    let _ = REGISTERS.set(handles);
}

/// The eight bytes that `read` puts into an array, if it says that it did.
fn word(read: impl FnOnce(*mut Array<u8>) -> bool) -> Option<u64> {
    // SAFETY: The array is ours, and as long as it says.
    unsafe {
        let array = g_byte_array_new();
        let mut value = [0; 8];
        let good = read(array) && (*array).len == 8;
        if good {
            value = *(*array).data.cast::<[u8; 8]>();
        }
        g_byte_array_free(array, 1);
        good.then(|| u64::from_le_bytes(value))
    }
}

/// Reads a general register of 64 bits, in a callback that said that it would.
fn register(name: Register) -> Option<u64> {
    let Handle(handle) = (*REGISTERS.get()?.get(name.number())?)?;
    // SAFETY: The handle is QEMU's, and the array a valid one.
    word(|array| unsafe { qemu_plugin_read_register(handle, array) } == 8)
}

/// Reads eight bytes of the guest's memory, in a callback.
fn memory(va: u64) -> Option<u64> {
    // SAFETY: The array is a valid one, and QEMU looks whether the address is.
    word(|array| unsafe { qemu_plugin_read_memory_vaddr(va, array, 8) })
}

/// A block of guest code is translated: asks to be called for what matters in it.
extern "C" fn translates(_: Id, tb: *mut c_void) {
    // SAFETY: `tb` and its instructions are valid during this call.
    let (start, len) = unsafe { (qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb)) };
    tell(|watch| {
        if let Some(counter) = watch.counter() {
            // Translated code stays until QEMU ends, and this with it.
            let entry: &'static Entry = Box::leak(Box::new(Entry::new(start, len as u64)));
            let data = ptr::from_ref(entry).cast_mut().cast();
            // SAFETY: `tb` is valid; what comes back is the pointer to the entry.
            unsafe { qemu_plugin_register_vcpu_tb_exec_cb(tb, enters, READS_REGISTERS, data) };
            counter.translated(entry);
        }
        Ok(())
    });
    for index in 0..len {
        let mut bytes = [0; INSN_MAX];
        // SAFETY: As above; `bytes` has room for what is asked for.
        let (insn, pc, size) = unsafe {
            let insn = qemu_plugin_tb_get_insn(tb, index);
            let size = qemu_plugin_insn_data(insn, bytes.as_mut_ptr().cast(), INSN_MAX);
            (insn, qemu_plugin_insn_vaddr(insn), size)
        };
        let decoded = insn::decode(bytes.get(..size).unwrap_or(&bytes), pc);
        let tag = tagged(pc, decoded == Insn::NonTemporal);
        // SAFETY: As above; what comes back is the tag.
        unsafe { qemu_plugin_register_vcpu_mem_cb(insn, stores, NO_REGISTERS, WRITES, tag) };
        if let Some(site) = Site::new(decoded, pc, (len - index) as u64) {
            // Translated code stays until QEMU ends, and this with it.
            let site = Box::into_raw(Box::new(site)).cast();
            // SAFETY: As above; what comes back is the pointer to the site.
            unsafe {
                qemu_plugin_register_vcpu_insn_exec_cb(insn, executes, READS_REGISTERS, site)
            };
        }
    }
}

/// Address of a storing instruction and whether it is non-temporal, in one word:
/// the two highest bits of an address are the same.
fn tagged(pc: u64, non_temporal: bool) -> *mut c_void {
    ((pc << 1) | u64::from(non_temporal)) as usize as *mut c_void
}

/// A block of code is entered.
extern "C" fn enters(_: c_uint, entry: *mut c_void) {
    // SAFETY: It is the entry that was given with this function, and is never freed.
    let entry = unsafe { &*entry.cast::<Entry>() };
    if entry.is_watched() {
        tell(|watch| match watch.counter() {
            Some(counter) => counter.enters(entry, register(Register::RSP), memory),
            None => Ok(()),
        });
    }
    entry.enter();
}

/// An instruction has stored.
extern "C" fn stores(_: c_uint, info: u32, va: u64, tag: *mut c_void) {
    if !observer::is_running() {
        return;
    }
    // SAFETY: In this callback the interface says where the store went.
    let pa = unsafe {
        let hwaddr = qemu_plugin_get_hwaddr(info, va);
        if hwaddr.is_null() || qemu_plugin_hwaddr_is_io(hwaddr) {
            return;
        }
        qemu_plugin_hwaddr_phys_addr(hwaddr)
    };
    tell(|watch| {
        if !watch.wants(pa) {
            return Ok(());
        }
        // SAFETY: As above.
        let (shift, value) = unsafe {
            (
                qemu_plugin_mem_size_shift(info),
                qemu_plugin_mem_get_value(info),
            )
        };
        ensure!(
            1 << shift <= STORE_MAX,
            "a store of {} bytes",
            1u64 << shift
        );
        let tag = tag as usize as u64;
        watch.store(Store {
            pc: (tag as i64 >> 1) as u64,
            va,
            pa,
            non_temporal: tag & 1 != 0,
            len: 1 << shift,
            value: ((u128::from(value.high) << 64) | u128::from(value.low)).to_le_bytes(),
        })
    });
}

/// An instruction is about to be executed.
extern "C" fn executes(_: c_uint, site: *mut c_void) {
    // SAFETY: It is the site that was given with this function, and is never freed.
    let site = unsafe { &*site.cast::<Site>() };
    tell(|watch| watch.executes(site, register));
}
