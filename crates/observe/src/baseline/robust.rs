//! Medians and median deviations.

use super::Quantity;

/// From a median deviation to what would be a standard deviation if the values were normally distributed.
const AS_DEVIATION: f64 = 1.4826;

/// An hour of a tunnel: of every quantity its median and the median deviation from it, where there were values.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Digest(pub(super) [Option<(f32, f32)>; Quantity::ALL.len()]);

impl Digest {
    pub(super) fn of(values: &[Vec<f64>; Quantity::ALL.len()]) -> Digest {
        Digest(std::array::from_fn(|index| {
            let (median, deviation) = median_and_deviation(values.get(index)?)?;
            Some((median as f32, deviation as f32))
        }))
    }

    /// Median and spread of a quantity over several hours: the spread within the hours or between them, whichever is larger.
    pub(super) fn summary(digests: &[&Digest], index: usize) -> Option<(f64, f64)> {
        let known: Vec<(f32, f32)> =
            digests.iter().filter_map(|digest| digest.0.get(index).copied().flatten()).collect();
        let medians: Vec<f64> = known.iter().map(|(median, _)| f64::from(*median)).collect();
        let within: Vec<f64> = known.iter().map(|(_, deviation)| f64::from(*deviation)).collect();
        let (center, between) = median_and_deviation(&medians)?;
        Some((center, between.max(median(&within)?) * AS_DEVIATION))
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = if sorted.len().is_multiple_of(2) { *sorted.get(sorted.len() / 2 - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
}

fn median_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    let center = median(values)?;
    let deviations: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    Some((center, median(&deviations)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_deviations_are_not_moved_by_one_wild_value() {
        assert_eq!(median_and_deviation(&[]), None);
        assert_eq!(median_and_deviation(&[3.0]), Some((3.0, 0.0)));
        assert_eq!(median_and_deviation(&[4.0, 1.0, 3.0, 2.0]), Some((2.5, 1.0)));
        assert_eq!(median_and_deviation(&[1.0, 2.0, 3.0, 4.0, 1e9]), Some((3.0, 1.0)));
    }

    #[test]
    fn the_spread_of_several_hours_is_the_larger_of_within_and_between() {
        let digest = |median, deviation| Digest([Some((median, deviation)), None, None, None, None, None]);
        let calm = [digest(10.0, 0.0), digest(12.0, 0.0), digest(20.0, 0.0)];
        let calm: Vec<&Digest> = calm.iter().collect();
        assert_eq!(Digest::summary(&calm, 0), Some((12.0, 2.0 * AS_DEVIATION)));
        assert_eq!(Digest::summary(&calm, 1), None);
        let wild = [digest(10.0, 5.0), digest(10.0, 7.0), digest(10.0, 5.0)];
        let wild: Vec<&Digest> = wild.iter().collect();
        assert_eq!(Digest::summary(&wild, 0), Some((10.0, 5.0 * AS_DEVIATION)));
    }
}
