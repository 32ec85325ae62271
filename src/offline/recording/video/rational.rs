//! Fractions above 0: frame rates, ticks of clocks, shapes of pixels.

/// A fraction above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rational {
    pub num: i64,
    pub den: i64,
}

impl Rational {
    /// `30000/1001`; `None` for what is no number above 0 (ffprobe writes 0/0 where it knows nothing).
    pub fn parse(text: &str) -> Option<Self> {
        let (num, den) = text.split_once(['/', ':'])?;
        let parse = |text: &str| text.parse::<i32>().ok().filter(|number| *number > 0).map(i64::from);
        Some(Self { num: parse(num)?, den: parse(den)? })
    }

    /// The denominator, wide enough for products.
    pub fn under(self) -> i128 {
        i128::from(self.den)
    }

    pub fn value(self) -> f64 {
        self.num as f64 / self.den as f64
    }
}
