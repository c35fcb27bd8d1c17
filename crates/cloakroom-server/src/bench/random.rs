//! Numbers as good as random, the same in each run, because two servers must get the same work.

/// A sequence that its seed decides. For nothing that has to be secret.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        scatter(self.0)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // The upper half of a product: no division, and the error is below 1 in 2^32 for any real size.
        let wide = u128::from(self.next()) * end as u128;
        (wide >> 64) as usize
    }

    /// A number from 0 to 1, never 0.
    pub(super) fn unit(&mut self) -> f64 {
        unit(self.next())
    }
}

/// A number that looks random, and is always the same for this one (splitmix64).
pub(super) fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Bits as a number from 0 to 1, never 0.
pub(super) fn unit(bits: u64) -> f64 {
    ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Ranks of which the first come much more often than the last: Zipf's law with an exponent below 1, by
/// the method of Gray et al. that YCSB has, too.
pub(super) struct Zipf {
    count: usize,
    exponent: f64,
    all: f64,
    second: f64,
    slope: f64,
    inverse: f64,
}

impl Zipf {
    /// Ranks below `count`, which is not 0.
    pub(super) fn new(count: usize, exponent: f64) -> Self {
        let part = |rank: usize| (rank as f64).powf(-exponent);
        let all: f64 = (1..=count).map(part).sum();
        let second = 1.0 + part(2);
        let slope = (1.0 - (2.0 / count as f64).powf(1.0 - exponent)) / (1.0 - second / all);
        Self {
            count,
            exponent,
            all,
            second,
            slope,
            inverse: 1.0 / (1.0 - exponent),
        }
    }

    /// The next rank, from 0.
    pub(super) fn next(&self, random: &mut Random) -> usize {
        let unit = random.unit();
        let share = unit * self.all;
        if share < 1.0 {
            return 0;
        }
        if share < self.second.min(1.0 + 0.5_f64.powf(self.exponent)) {
            return 1.min(self.count - 1);
        }
        let at = self.count as f64 * (self.slope * (unit - 1.0) + 1.0).powf(self.inverse);
        (at as usize).min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_sessions_get_most_of_the_visits() {
        let zipf = Zipf::new(10_000, 0.99);
        let mut random = Random::new(1);
        let mut hits = vec![0_u32; 10_000];
        for _ in 0..200_000 {
            hits[zipf.next(&mut random)] += 1;
        }
        // By the law the first has 1 of 10.2, the first hundred have a little more than half.
        let first = f64::from(hits[0]) / 200_000.0;
        assert!((0.09..0.11).contains(&first), "{first}");
        let hundred = f64::from(hits[..100].iter().sum::<u32>()) / 200_000.0;
        assert!((0.48..0.58).contains(&hundred), "{hundred}");
        assert!(hits[5_000..].iter().sum::<u32>() > 5_000);
    }

    #[test]
    fn one_session_is_enough_for_the_law() {
        let zipf = Zipf::new(1, 0.99);
        let mut random = Random::new(1);
        assert!((0..1_000).all(|_| zipf.next(&mut random) == 0));
    }

    #[test]
    fn numbers_stay_below_their_end_and_reach_it() {
        let mut random = Random::new(7);
        let mut seen = [false; 10];
        for _ in 0..1_000 {
            seen[random.below(10)] = true;
        }
        assert_eq!(seen, [true; 10]);
    }
}
