// SPDX-License-Identifier: GPL-2.0
//! Plots, as SVG.

use super::rows::Mode;
use anyhow::{anyhow, Result};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// Curves in one plane.
pub struct Plot {
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    /// Whether the axes, x and y, are logarithmic.
    pub logarithmic: [bool; 2],
    pub curves: Vec<Curve>,
}

/// Points that are joined, of a mode.
pub struct Curve {
    pub mode: Mode,
    pub points: Vec<(f64, f64)>,
}

const SIZE: (u32, u32) = (800, 400);

/// Where the curves' names begin, to the right of the plane.
const NAMES_AT: u32 = 700;

/// About as many labels of an axis as have room.
const LABELS: usize = 6;

/// A number as an axis has it.
fn short(value: &f64) -> String {
    match *value {
        v if v >= 1e6 => format!("{}M", rounded(v / 1e6)),
        v if v >= 1e3 => format!("{}k", rounded(v / 1e3)),
        v => rounded(v),
    }
}

/// With one or two places, where they say something.
fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The colour of a mode, the same in every plot.
fn colour(mode: Mode) -> RGBColor {
    match mode {
        Mode::Full => RGBColor(120, 120, 120),
        Mode::StockFc => RGBColor(214, 96, 20),
        Mode::Inside => RGBColor(40, 140, 60),
        Mode::Off => RGBColor(150, 90, 170),
        Mode::Bytelog => RGBColor(20, 110, 180),
    }
}

impl Plot {
    fn range(&self, of: impl Fn(&(f64, f64)) -> f64, logarithmic: bool) -> (f64, f64) {
        let values = self.curves.iter().flat_map(|curve| curve.points.iter());
        let (low, high) = values.map(of).fold((f64::MAX, f64::MIN), |(low, high), v| {
            (low.min(v), high.max(v))
        });
        match (logarithmic, low < high) {
            (true, true) => (low.max(1e-3) * 0.9, high * 1.1),
            (true, false) => (low.max(1e-3) * 0.9, low.max(1e-3) * 1.1),
            (false, _) => (0.0, (high * 1.05).max(1e-3)),
        }
    }

    /// The plot as an SVG element.
    pub fn svg(&self) -> Result<String> {
        let (x0, x1) = self.range(|p| p.0, self.logarithmic[0]);
        let (y0, y1) = self.range(|p| p.1, self.logarithmic[1]);
        let mut text = String::new();
        match self.logarithmic {
            [true, true] => self.draw(&mut text, (x0..x1).log_scale(), (y0..y1).log_scale()),
            [true, false] => self.draw(&mut text, (x0..x1).log_scale(), y0..y1),
            [false, true] => self.draw(&mut text, x0..x1, (y0..y1).log_scale()),
            [false, false] => self.draw(&mut text, x0..x1, y0..y1),
        }?;
        Ok(text)
    }

    fn draw<X, Y>(&self, text: &mut String, x: X, y: Y) -> Result<()>
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let failed = |err: String| anyhow!("plot {}: {err}", self.title);
        let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(|err| failed(err.to_string()))?;
        let (plane, names) = root.split_horizontally(NAMES_AT);
        let mut chart = ChartBuilder::on(&plane)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(80)
            .build_cartesian_2d(x, y)
            .map_err(|err| failed(err.to_string()))?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_labels(LABELS)
            .y_labels(LABELS)
            .label_style(("sans-serif", 13))
            .x_label_formatter(&short)
            .y_label_formatter(&short)
            .max_light_lines(1)
            .bold_line_style(BLACK.mix(0.1))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(|err| failed(err.to_string()))?;
        for (at, curve) in (60..).step_by(22).zip(&self.curves) {
            let colour = colour(curve.mode);
            let line = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2));
            chart
                .draw_series(line)
                .map_err(|err| failed(err.to_string()))?;
            let style = ("sans-serif", 14).into_font().color(&colour);
            names
                .draw(&Text::new(curve.mode.name(), (0, at), style))
                .map_err(|err| failed(err.to_string()))?;
        }
        root.present().map_err(|err| failed(err.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.25, 10.0, 1500.0, 20000.0, 1.5e6].map(|v| short(&v));
        assert_eq!(texts, ["0", "0.25", "10", "1.5k", "20k", "1.5M"]);
    }

    #[test]
    fn a_plot_of_any_kind() {
        for logarithmic in [[true, true], [true, false], [false, true], [false, false]] {
            let plot = Plot {
                title: "title",
                x: "x",
                y: "y",
                logarithmic,
                curves: vec![Curve {
                    mode: Mode::Bytelog,
                    points: vec![(1.0, 10.0), (100.0, 20.0)],
                }],
            };
            let svg = plot.svg().unwrap();
            assert!(svg.starts_with("<svg") && svg.contains("polyline"), "{svg}");
        }
    }
}
