//! Learning-rate schedules: functions of the step, computed where the update is.

use std::f64::consts::PI;

use backprop_core::Tensor;

/// How the learning rate depends on the step, which counts from 0. The names are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// PyTorch's `LinearLR`: from `start_factor`·lr to `end_factor`·lr in `total_iters` steps, then
    /// constant.
    Linear {
        /// The first factor.
        start_factor: f64,
        /// The last factor.
        end_factor: f64,
        /// The number of steps from first to last.
        total_iters: u64,
    },
    /// PyTorch's `CosineAnnealingLR`: from lr to `eta_min` in `t_max` steps along half a cosine
    /// (Loshchilov, Hutter 2017). Stays at `eta_min` from there on, where PyTorch's rises again.
    Cosine {
        /// The number of steps.
        t_max: u64,
        /// The last learning rate.
        eta_min: f64,
    },
    /// PyTorch's `SequentialLR`: `schedules[i]` until step `milestones[i]`, each counting from its
    /// own start.
    Sequential {
        /// One more than there are milestones.
        schedules: Vec<Schedule>,
        /// Where each gives way to the next, ascending.
        milestones: Vec<u64>,
    },
}

impl Schedule {
    /// Rises linearly from lr/`warm_up` over the first `warm_up` steps, then falls along a cosine to
    /// 0 at step `total`.
    pub fn warm_up_cosine(warm_up: u64, total: u64) -> Schedule {
        let cosine = Schedule::Cosine { t_max: total.saturating_sub(warm_up).max(1), eta_min: 0.0 };
        if warm_up == 0 {
            return cosine;
        }
        let start_factor = 1.0 / warm_up as f64;
        let rise = Schedule::Linear { start_factor, end_factor: 1.0, total_iters: warm_up };
        Schedule::Sequential { schedules: vec![rise, cosine], milestones: vec![warm_up] }
    }

    /// The learning rate at step `t`; both f64 \[\].
    pub(crate) fn lr(&self, lr: Tensor, t: Tensor) -> Tensor {
        match self {
            Schedule::Constant => lr,
            Schedule::Linear { start_factor, end_factor, total_iters } => {
                let part = t.minimum(*total_iters as f64) / *total_iters as f64;
                lr * (part * (end_factor - start_factor) + *start_factor)
            }
            Schedule::Cosine { t_max, eta_min } => {
                let angle = t.minimum(*t_max as f64) * (PI / *t_max as f64);
                (lr - *eta_min) * (angle.cos() + 1.0) * 0.5 + *eta_min
            }
            Schedule::Sequential { schedules, milestones } => {
                let starts = std::iter::once(0).chain(milestones.iter().copied());
                let parts = schedules.iter().zip(starts).map(|(schedule, start)| {
                    let at = start as f64;
                    (at, schedule.lr(lr, if start == 0 { t } else { t - at }))
                });
                let chosen = parts.reduce(|(_, before), (at, after)| (at, t.lt(at).select(before, after)));
                chosen.map_or(lr, |(_, lr)| lr)
            }
        }
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Schedule::Constant => Ok(()),
            Schedule::Linear { total_iters: 0, .. } => Err("a linear schedule needs total_iters > 0".into()),
            Schedule::Linear { start_factor, end_factor, .. } => {
                let valid = |factor: f64| factor >= 0.0 && factor.is_finite();
                match valid(*start_factor) && valid(*end_factor) {
                    true => Ok(()),
                    false => Err(format!("factors are at least 0, not {start_factor} and {end_factor}")),
                }
            }
            Schedule::Cosine { t_max: 0, .. } => Err("a cosine schedule needs t_max > 0".into()),
            Schedule::Cosine { eta_min, .. } if !(*eta_min >= 0.0 && eta_min.is_finite()) => {
                Err(format!("eta_min is at least 0 and finite, not {eta_min}"))
            }
            Schedule::Cosine { .. } => Ok(()),
            Schedule::Sequential { schedules, milestones } => {
                if schedules.len() != milestones.len() + 1 {
                    let (s, m) = (schedules.len(), milestones.len());
                    return Err(format!("{s} schedules need {} milestones, not {m}", s.saturating_sub(1)));
                }
                if !milestones.is_sorted() {
                    return Err(format!("milestones must ascend: {milestones:?}"));
                }
                schedules.iter().try_for_each(Schedule::check)
            }
        }
    }
}
