//! Machine code as text, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use iced_x86::{Decoder, DecoderOptions, FastFormatter, Instruction, OpKind, Register};

use crate::kernel::Routine;

/// A line for each instruction: where it starts, in bytes from the first one, then what it does, in the syntax of Intel;
/// behind it the constant, or what the word of the frame is, that it reads. Where jumps go there is a label.
pub fn listing(routine: &Routine, indent: &str) -> String {
    let mut decoder = Decoder::new(64, routine.code, DecoderOptions::NONE);
    let all: Vec<Instruction> = decoder.iter().collect();
    let is_jump = |instruction: &&Instruction| {
        instruction.op_count() == 1 && instruction.op0_kind() == OpKind::NearBranch64
    };
    let targets: BTreeSet<u64> = all.iter().filter(is_jump).map(Instruction::near_branch_target).collect();
    let labels: BTreeMap<u64, usize> = targets.into_iter().zip(1..).collect();
    let mut formatter = FastFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    let mut text = String::new();
    for instruction in &all {
        if let Some(label) = labels.get(&instruction.ip()) {
            writeln!(text, "{indent}L{label}:").expect("a string takes all");
        }
        write!(text, "{indent}{:04x}  ", instruction.ip()).expect("a string takes all");
        match labels.get(&instruction.near_branch_target()).filter(|_| is_jump(&instruction)) {
            Some(label) => {
                let name = format!("{:?}", instruction.mnemonic()).to_lowercase();
                write!(text, "{name} L{label}").expect("a string takes all");
            }
            None => formatter.format(instruction, &mut text),
        }
        if let Some(remark) = remark(routine, instruction) {
            write!(text, "  ; {remark}").expect("a string takes all");
        }
        text.push('\n');
    }
    text
}

/// What an instruction reads or writes, where it is a constant or a named word of the frame.
fn remark(routine: &Routine, instruction: &Instruction) -> Option<String> {
    if instruction.is_ip_rel_memory_operand() {
        let at =
            usize::try_from(instruction.ip_rel_memory_address()).ok()?.checked_sub(routine.code.len())?;
        let bytes = |n: usize| routine.constants.get(at..at + n);
        let size = instruction.memory_size().element_size();
        let bits = match size {
            4 => u64::from(u32::from_le_bytes(bytes(4)?.try_into().ok()?)),
            8 => u64::from_le_bytes(bytes(8)?.try_into().ok()?),
            _ => return None,
        };
        return Some(match size {
            4 => format!("{bits:#x} = {:?}", f32::from_bits(bits as u32)),
            _ => format!("{bits:#x} = {:?}", f64::from_bits(bits)),
        });
    }
    let is_frame = instruction.memory_base() == routine.frame && instruction.memory_index() == Register::None;
    let at = instruction.memory_displacement64() as i32;
    let word = || routine.words.iter().find(|(word, _)| *word == at);
    (is_frame && (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory))
        .then(word)
        .flatten()
        .map(|(_, name)| name.clone())
}

// Not under Miri: iced-x86's decoder reads through pointers that Stacked Borrows refuses.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    fn routine<'a>(code: &'a [u8], constants: &'a [u8]) -> Routine<'a> {
        Routine {
            name: String::new(),
            code,
            constants,
            frame: Register::RBX,
            words: vec![(8, "the sum".to_string())],
        }
    }

    #[test]
    fn a_line_names_place_operation_and_operands() {
        // mov eax, 12345; ret
        let code = [0xb8, 0x39, 0x30, 0, 0, 0xc3];
        assert_eq!(listing(&routine(&code, &[]), "  "), "  0000  mov eax, 3039h\n  0005  ret\n");
        assert_eq!(listing(&routine(&[], &[]), "  "), "");
    }

    #[test]
    fn jumps_constants_and_words_of_the_frame_have_names() {
        // movss xmm0, [rip + 0]: the constant behind the code; mov rax, [rbx + 8]; jne back to its start.
        let code = [0xf3, 0x0f, 0x10, 0x05, 6, 0, 0, 0, 0x48, 0x8b, 0x43, 0x08, 0x75, 0xf2];
        let lines = listing(&routine(&code, &1.5f32.to_le_bytes()), "");
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines[0], "L1:");
        assert!(lines[1].ends_with("; 0x3fc00000 = 1.5"), "{}", lines[1]);
        assert_eq!(lines[2], "0008  mov rax, [rbx+8h]  ; the sum");
        assert_eq!(lines[3], "000c  jne L1");
    }
}
