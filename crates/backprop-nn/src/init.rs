//! What parameters start from.

use backprop_core::random::{self, Key};
use backprop_core::{Array, ArrayError, Seed};

/// How a parameter's first numbers are drawn. `fan_in` and `fan_out` of sizes \[out, in, ...\] are
/// in·(rest) and out·(rest).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// Uniform between −bound and bound.
    Uniform {
        /// The bound.
        bound: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// The standard deviation.
        std: f64,
    },
    /// Uniform with variance 2·gain²/(fan_in + fan_out) (Glorot, Bengio 2010).
    XavierUniform {
        /// 1 in the paper, for tanh; PyTorch's `calculate_gain` has 5/3 for tanh and √2 for relu.
        gain: f64,
    },
    /// Normal with variance 2·gain²/(fan_in + fan_out) (Glorot, Bengio 2010).
    XavierNormal {
        /// As for [`Init::XavierUniform`].
        gain: f64,
    },
    /// Uniform with variance 2/((1 + a²)·fan_in) (He, Zhang, Ren, Sun 2015).
    KaimingUniform {
        /// The slope below 0: 0 for relu. PyTorch's `Linear` uses √5, which is U(±1/√fan_in).
        a: f64,
    },
    /// Normal with variance 2/((1 + a²)·fan_in) (He, Zhang, Ren, Sun 2015).
    KaimingNormal {
        /// As for [`Init::KaimingUniform`].
        a: f64,
    },
}

impl Init {
    /// He's initialiser for relu, uniform.
    pub const HE_UNIFORM: Init = Init::KaimingUniform { a: 0.0 };

    /// He's initialiser for relu, normal.
    pub const HE_NORMAL: Init = Init::KaimingNormal { a: 0.0 };

    /// PyTorch's default for the weight of a `Linear`: `kaiming_uniform_(a=√5)`.
    // 5.0_f64.sqrt() is not const; these are its digits.
    pub const LINEAR: Init = Init::KaimingUniform { a: 2.236_067_977_499_79 };

    /// The numbers of the parameter at `path`: the same for the same seed, path and sizes.
    ///
    /// # Errors
    /// The sizes do not fit into memory.
    pub fn draw(self, seed: Seed, path: &str, sizes: &[usize]) -> Result<Array, ArrayError> {
        let count = backprop_core::array::want_room::<f32>(sizes)? as u64;
        let key: Key = [seed.0 as u32, (seed.0 >> 32) as u32, random::stream(path, 0), 0];
        let uniform = |bound: f64| -> Vec<f32> {
            (0..count).map(|i| ((2.0 * random::uniform_f64(key, i) - 1.0) * bound) as f32).collect()
        };
        let normal =
            |std: f64| -> Vec<f32> { (0..count).map(|i| (random::normal(key, i) * std) as f32).collect() };
        // A uniform number in ±b has variance b²/3.
        let spread = |variance: f64| (3.0 * variance).sqrt();
        let (fan_in, fan_out) = fans(sizes);
        let xavier = |gain: f64| 2.0 * gain * gain / (fan_in + fan_out);
        let kaiming = |a: f64| 2.0 / ((1.0 + a * a) * fan_in);
        let values = match self {
            Init::Zeros => vec![0.0; count as usize],
            Init::Ones => vec![1.0; count as usize],
            Init::Uniform { bound } => uniform(bound),
            Init::Normal { std } => normal(std),
            Init::XavierUniform { gain } => uniform(spread(xavier(gain))),
            Init::XavierNormal { gain } => normal(xavier(gain).sqrt()),
            Init::KaimingUniform { a } => uniform(spread(kaiming(a))),
            Init::KaimingNormal { a } => normal(kaiming(a).sqrt()),
        };
        Ok(Array::new(sizes, values)?.aligned())
    }
}

fn fans(sizes: &[usize]) -> (f64, f64) {
    let rest: usize = sizes.iter().skip(2).product();
    let fan = |axis: usize| (sizes.get(axis).copied().unwrap_or(1) * rest).max(1) as f64;
    (fan(1), fan(0))
}
