//! The table: a figure, its floor, their ratio, and the target.

/// The value in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One figure beside its floor.
pub struct Row {
    name: String,
    ours: f64,
    floor: f64,
    unit: Unit,
    /// The target in words, and whether it is met.
    target: Option<(String, bool)>,
}

#[derive(Clone, Copy)]
enum Unit {
    Milliseconds,
    Mebibytes,
    Rate,
}

impl Row {
    fn new(name: &str, ours: f64, floor: f64, unit: Unit) -> Self {
        Self { name: name.to_owned(), ours, floor, unit, target: None }
    }

    /// Milliseconds.
    pub fn millis(name: &str, ours: f64, floor: f64) -> Self {
        Self::new(name, ours, floor, Unit::Milliseconds)
    }

    /// MiB.
    pub fn mebibytes(name: &str, ours: f64, floor: f64) -> Self {
        Self::new(name, ours, floor, Unit::Mebibytes)
    }

    /// Events per second. More is better: the floor is the higher one.
    pub fn rate(name: &str, ours: f64, floor: f64) -> Self {
        Self::new(name, ours, floor, Unit::Rate)
    }

    fn target(self, words: String, is_met: bool) -> Self {
        Self { target: Some((words, is_met)), ..self }
    }

    pub fn at_most(self, limit: f64) -> Self {
        let is_met = self.ours <= limit;
        let words = format!("at most {}", self.unit.show(limit));
        self.target(words, is_met)
    }

    pub fn at_least(self, limit: f64) -> Self {
        let is_met = self.ours >= limit;
        let words = format!("at least {}", self.unit.show(limit));
        self.target(words, is_met)
    }

    pub fn under(self, limit: f64) -> Self {
        let is_met = self.ours < limit;
        let words = format!("under {}", self.unit.show(limit));
        self.target(words, is_met)
    }

    /// No more than another program.
    pub fn at_most_of(self, whose: &str, limit: f64) -> Self {
        let is_met = self.ours <= limit;
        self.target(format!("at most {whose}'s"), is_met)
    }

    pub fn ratio_at_most(self, limit: f64) -> Self {
        let is_met = self.ratio() <= limit;
        self.target(format!("at most {limit}x"), is_met)
    }

    /// How many times worse than the floor.
    fn ratio(&self) -> f64 {
        match self.unit {
            Unit::Rate => self.floor / self.ours,
            Unit::Milliseconds | Unit::Mebibytes => self.ours / self.floor,
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Milliseconds if value > 0.0 && value < 0.1 => format!("{:.2} µs", value * 1000.0),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Rate => format!("{value:.0} /s"),
        }
    }
}

/// Prints all rows.
pub fn print(rows: &[Row]) {
    println!("\n{:<45} {:>12} {:>12} {:>8}  target", "", "claw", "floor", "ratio");
    for row in rows {
        let ratio = if row.ratio().is_finite() { format!("{:.2}x", row.ratio()) } else { "-".to_owned() };
        let target = row.target.as_ref().map(|(words, is_met)| {
            let verdict = if *is_met { "met" } else { "MISSED" };
            format!("  {words}: {verdict}")
        });
        let (ours, floor) = (row.unit.show(row.ours), row.unit.show(row.floor));
        println!("{:<45} {ours:>12} {floor:>12} {ratio:>8}{}", row.name, target.unwrap_or_default());
    }
}
