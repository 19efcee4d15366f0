//! Machine code.

pub mod contraction;
pub mod memory;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// AVX-512 F, DQ, BW, VL.
    Avx512,
    /// AVX2 and FMA.
    Avx2,
}

impl Isa {
    /// What this CPU can do, the best first.
    pub fn available() -> Vec<Isa> {
        let mut found = Vec::new();
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let has_512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl");
            if has_512 {
                found.push(Isa::Avx512);
            }
            found.push(Isa::Avx2);
        }
        found
    }
}
