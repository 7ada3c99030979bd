// SPDX-License-Identifier: GPL-2.0

//! Which instructions the recorder has to know: those that raise no memory
//! callback, and stores that need no write-back.

use bytelog_trace::mark;
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Register};

/// An instruction, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insn {
    /// Writes a cache line back.
    WriteBack(Line),
    /// Orders write-backs and non-temporal stores. Instructions with a lock prefix
    /// do as well; they are left out, so that nothing is taken for ordered because
    /// of a lock that happens to be near.
    Fence,
    /// A mark.
    Mark,
    /// Stores past the caches, if it stores to the device.
    NonTemporal,
    /// Any other. Its stores, if it makes any, are ordinary.
    Other,
}

/// The memory operand of a write-back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line(Instruction);

impl Line {
    /// The operand's address, with `register` telling what a general register
    /// holds. `None` if a segment has a part in it.
    pub fn address(&self, mut register: impl FnMut(Register) -> Option<u64>) -> Option<u64> {
        self.0.virtual_address(0, 0, |name, _, _| match name {
            // Flat in 64-bit mode; the others are not looked up.
            Register::CS | Register::DS | Register::ES | Register::SS => Some(0),
            // An address of 32 bits, by prefix.
            _ if name.is_gpr32() => Some(register(name.full_register())? & 0xffff_ffff),
            _ if name.is_gpr64() => register(name),
            _ => None,
        })
    }
}

/// Decodes the instruction that `bytes` at `pc` start with.
pub fn decode(bytes: &[u8], pc: u64) -> Insn {
    if bytes == mark::CODE {
        return Insn::Mark;
    }
    let insn = Decoder::with_ip(64, bytes, pc, DecoderOptions::NONE).decode();
    match insn.code() {
        Code::Clwb_m8 | Code::Clflushopt_m8 | Code::Clflush_m8 => Insn::WriteBack(Line(insn)),
        Code::Sfence | Code::Mfence => Insn::Fence,
        Code::Movnti_m32_r32
        | Code::Movnti_m64_r64
        | Code::Movntq_m64_mm
        | Code::Movntdq_m128_xmm
        | Code::Movntps_m128_xmm
        | Code::Movntpd_m128_xmm
        | Code::VEX_Vmovntdq_m128_xmm
        | Code::VEX_Vmovntdq_m256_ymm
        | Code::VEX_Vmovntps_m128_xmm
        | Code::VEX_Vmovntps_m256_ymm
        | Code::VEX_Vmovntpd_m128_xmm
        | Code::VEX_Vmovntpd_m256_ymm => Insn::NonTemporal,
        _ => Insn::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PC: u64 = 0xffff_ffff_8100_0000;

    /// A value for each register that shows which one it is.
    fn value(register: Register) -> Option<u64> {
        Some(0x1_0000_0000 * (1 + register.number() as u64))
    }

    fn address(bytes: &[u8]) -> Option<u64> {
        match decode(bytes, PC) {
            Insn::WriteBack(line) => line.address(value),
            other => panic!("{bytes:02x?} is {other:?}"),
        }
    }

    /// Encodings of the GNU assembler.
    #[test]
    fn operands_of_write_backs() {
        let [rax, rcx, _, rbx, rsp, rbp, _, rdi] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|n| 0x1_0000_0000 * (n + 1));
        let [r8, r9, r12, r13] = [8, 9, 12, 13].map(|n| 0x1_0000_0000 * (n + 1));
        let known: &[(&[u8], u64)] = &[
            // clwb (%rax); (%rdi); (%r8); (%r12); 0x0(%r13)
            (&[0x66, 0x0f, 0xae, 0x30], rax),
            (&[0x66, 0x0f, 0xae, 0x37], rdi),
            (&[0x66, 0x41, 0x0f, 0xae, 0x30], r8),
            (&[0x66, 0x41, 0x0f, 0xae, 0x34, 0x24], r12),
            (&[0x66, 0x41, 0x0f, 0xae, 0x75, 0x00], r13),
            // clwb (%rsp); 0x8(%rbp); -0x40(%rax); 0x12345678(%rcx)
            (&[0x66, 0x0f, 0xae, 0x34, 0x24], rsp),
            (&[0x66, 0x0f, 0xae, 0x75, 0x08], rbp + 8),
            (&[0x66, 0x0f, 0xae, 0x70, 0xc0], rax - 0x40),
            (
                &[0x66, 0x0f, 0xae, 0xb1, 0x78, 0x56, 0x34, 0x12],
                rcx + 0x1234_5678,
            ),
            // clwb (%rax,%rcx,1); 0x40(%rax,%r9,8); (%r8,%rbx,2); (,%rcx,4)
            (&[0x66, 0x0f, 0xae, 0x34, 0x08], rax + rcx),
            (
                &[0x66, 0x42, 0x0f, 0xae, 0x74, 0xc8, 0x40],
                rax + 8 * r9 + 0x40,
            ),
            (&[0x66, 0x41, 0x0f, 0xae, 0x34, 0x58], r8 + 2 * rbx),
            (&[0x66, 0x0f, 0xae, 0x34, 0x8d, 0, 0, 0, 0], 4 * rcx),
            // clwb 0x100(%rip); clwb 0x1000
            (&[0x66, 0x0f, 0xae, 0x35, 0, 1, 0, 0], PC + 8 + 0x100),
            (&[0x66, 0x0f, 0xae, 0x34, 0x25, 0, 0x10, 0, 0], 0x1000),
            // ds clwb (%rax), as the kernel's alternatives leave it
            (&[0x3e, 0x66, 0x0f, 0xae, 0x30], rax),
            // clflushopt (%rax); clflushopt (%r8,%rbx,2); clflush (%rdi)
            (&[0x66, 0x0f, 0xae, 0x38], rax),
            (&[0x66, 0x41, 0x0f, 0xae, 0x3c, 0x58], r8 + 2 * rbx),
            (&[0x0f, 0xae, 0x3f], rdi),
            // clwb (%eax)
            (&[0x67, 0x66, 0x0f, 0xae, 0x30], rax & 0xffff_ffff),
        ];
        for (bytes, expected) in known {
            assert_eq!(address(bytes), Some(*expected), "{bytes:02x?}");
        }
        // clwb %gs:(%rax): whose base nobody asked for.
        assert_eq!(address(&[0x65, 0x66, 0x0f, 0xae, 0x30]), None);
    }

    #[test]
    fn fences_and_stores() {
        let known: &[(&[u8], Insn)] = &[
            (&[0x0f, 0xae, 0xf8], Insn::Fence),
            (&[0x0f, 0xae, 0xf0], Insn::Fence),
            // lfence; xsaveopt (%rax); lock incl (%rax); tpause %eax
            (&[0x0f, 0xae, 0xe8], Insn::Other),
            (&[0x0f, 0xae, 0x30], Insn::Other),
            (&[0xf0, 0xff, 0x00], Insn::Other),
            (&[0x66, 0x0f, 0xae, 0xf0], Insn::Other),
            // movnti %r8,(%rdi); movnti %eax,(%rdi); movntdq %xmm0,(%rdi)
            (&[0x4c, 0x0f, 0xc3, 0x07], Insn::NonTemporal),
            (&[0x0f, 0xc3, 0x07], Insn::NonTemporal),
            (&[0x66, 0x0f, 0xe7, 0x07], Insn::NonTemporal),
            // rep movsb; mov %rax,(%rdi)
            (&[0xf3, 0xa4], Insn::Other),
            (&[0x48, 0x89, 0x07], Insn::Other),
            (&mark::CODE, Insn::Mark),
            // The usual no-op of that length.
            (&[0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0], Insn::Other),
            (&[], Insn::Other),
        ];
        for (bytes, expected) in known {
            assert_eq!(decode(bytes, PC), *expected, "{bytes:02x?}");
        }
    }

    proptest! {
        /// base + index * scale + displacement, put together by the rules of the
        /// instruction set and not by the library.
        #[test]
        fn any_base_and_index(base in 0u8..16, index in 0u8..16, scale in 0u8..4, disp: i32, values: [u64; 16]) {
            // An index of 4 is none.
            prop_assume!(index != 4);
            let rex = 0x40 | ((index >> 3) << 1) | (base >> 3);
            let sib = (scale << 6) | ((index & 7) << 3) | (base & 7);
            let mut bytes = vec![0x66, rex, 0x0f, 0xae, 0xb4, sib];
            bytes.extend(disp.to_le_bytes());
            let Insn::WriteBack(line) = decode(&bytes, PC) else {
                panic!("{bytes:02x?}");
            };
            let expected = values[usize::from(base)]
                .wrapping_add(values[usize::from(index)] << scale)
                .wrapping_add(disp as i64 as u64);
            let got = line.address(|register| values.get(register.number()).copied());
            prop_assert_eq!(got, Some(expected));
        }

        #[test]
        fn any_bytes(bytes: [u8; 15], values: [u64; 16]) {
            if let Insn::WriteBack(line) = decode(&bytes, PC) {
                line.address(|register| values.get(register.number()).copied());
            }
        }
    }
}
