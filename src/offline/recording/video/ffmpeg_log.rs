//! What a running ffmpeg says on stderr: one line for each frame before its pixels come, and what goes wrong.
//!
//! The filter `showinfo` tells each decoded frame's time stamp as the decoder gave it, before any output format could
//! round or shift it, and on the same run that makes the pixels: the two cannot get out of step.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::stream::Rational;

/// What was said of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldFrame {
    /// In units of `tick` seconds.
    pub pts: Option<i64>,
    pub tick: Rational,
    pub width: u32,
    pub height: u32,
    /// ffmpeg's name of the pixel format.
    pub format: String,
}

/// A thread that reads stderr: a talkative ffmpeg never blocks, and its frames wait here for their pixels.
pub struct Listener {
    pub frames: Receiver<ToldFrame>,
    errors: JoinHandle<Errors>,
}

/// The first and the last lines of the level error or worse.
#[derive(Debug, Default)]
pub struct Errors {
    lines: Vec<String>,
}

/// As many errors as a person will read; a broken file may give one for each frame.
const MOST_ERRORS: usize = 4;
const LONGEST_LINE: u64 = 1 << 16;

impl Listener {
    pub fn new(stderr: impl Read + Send + 'static) -> Self {
        let (sender, frames) = channel();
        Self { frames, errors: std::thread::spawn(move || listen(BufReader::new(stderr), &sender)) }
    }

    /// Waits for the end of stderr. Frames that nobody took are gone.
    pub fn errors(self) -> Errors {
        drop(self.frames);
        self.errors.join().unwrap_or_default()
    }
}

impl Errors {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether one of them says one of these.
    pub fn mention(&self, words: &[&str]) -> bool {
        self.lines.iter().any(|line| words.iter().any(|word| line.contains(word)))
    }

    pub fn one_line(&self) -> String {
        one_line(self.lines.iter().map(String::as_str))
    }

    fn push(&mut self, line: &str) {
        let line = line.chars().take(300).collect();
        if self.lines.len() < MOST_ERRORS && !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }
}

fn listen(mut stderr: impl BufRead, frames: &Sender<ToldFrame>) -> Errors {
    let mut errors = Errors::default();
    let mut tick = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        match stderr.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return errors,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        if let Some(found) = tick_of(&text) {
            tick = Some(found);
        } else if let Some(frame) = tick.and_then(|tick| frame_of(&text, tick)) {
            // Nobody listens any more once the reader broke off.
            let _ = frames.send(frame);
        } else if let Some((_, said)) =
            ["[error] ", "[fatal] ", "[panic] "].iter().find_map(|level| text.split_once(level))
        {
            errors.push(said.trim());
        }
    }
}

/// `[Parsed_showinfo_0 @ …] [info] config in time_base: 1/15360, frame_rate: 30/1`
fn tick_of(line: &str) -> Option<Rational> {
    let rest = showinfo(line)?.strip_prefix("config in time_base:")?;
    let (tick, _) = rest.split_once(',')?;
    let (num, den) = tick.trim().split_once('/')?;
    let parse = |text: &str| text.parse::<i32>().ok().filter(|number| *number > 0).map(i64::from);
    Some(Rational { num: parse(num)?, den: parse(den)? })
}

/// `[Parsed_showinfo_0 @ …] [info] n:   3 pts:   1536 pts_time:0.1 … fmt:yuv420p sar:0/1 s:848x478 …`
fn frame_of(line: &str, tick: Rational) -> Option<ToldFrame> {
    let rest = showinfo(line)?.strip_prefix("n:")?;
    let value = |name: &str| {
        let (_, rest) = rest.split_once(name)?;
        rest.split_whitespace().next()
    };
    let (width, height) = value(" s:")?.split_once('x')?;
    Some(ToldFrame {
        pts: value(" pts:")?.parse().ok(),
        tick,
        width: width.parse().ok()?,
        height: height.parse().ok()?,
        format: value(" fmt:")?.to_owned(),
    })
}

fn showinfo(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("_showinfo_")?;
    let (_, said) = rest.split_once("] [info] ")?;
    Some(said.trim())
}

/// At most three lines as one, in quotation marks.
pub fn one_line<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
    if lines.is_empty() { "nothing".to_owned() } else { format!("\"{}\"", lines.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As versions 4.4, 5.1 and 7.0 write it.
    const SAID: &str = "[info] Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'n: 9 s:1x1.mp4':
[Parsed_showinfo_0 @ 0x562ee0438880] [info] config in time_base: 1/90000, frame_rate: 60/1
[Parsed_showinfo_0 @ 0x562ee0438880] [info] config out time_base: 0/0, frame_rate: 0/0
[Parsed_showinfo_0 @ 0x562ee0438880] [info] n:   0 pts:  -1500 pts_time:-0.0166667 pos:     5517 fmt:yuv420p sar:0/1 s:848x478 i:P iskey:1 type:I
[Parsed_showinfo_0 @ 0x562ee0438880] [info] color_range:tv color_space:bt709 color_primaries:bt709 color_trc:bt709
[h264 @ 0x5581] [error] Missing reference picture
[h264 @ 0x5582] [error] Missing reference picture
[Parsed_showinfo_1 @ 0x7f] [info] n:   1 pts:NOPTS   pts_time:NOPTS   duration:   1500 duration_time:0.0166667 fmt:rgb24 cl:left sar:1/1 s:2x3 i:P iskey:0 type:B
[fatal] Conversion failed!
";

    #[test]
    fn frames_and_errors_are_read() {
        let listener = Listener::new(SAID.as_bytes());
        let frames: Vec<ToldFrame> = listener.frames.iter().collect();
        let tick = Rational { num: 1, den: 90_000 };
        let frame = |pts, width, height, format: &str| ToldFrame {
            pts,
            tick,
            width,
            height,
            format: format.to_owned(),
        };
        assert_eq!(frames, [frame(Some(-1500), 848, 478, "yuv420p"), frame(None, 2, 3, "rgb24")]);
        let errors = listener.errors();
        assert_eq!(errors.one_line(), "\"Missing reference picture; Conversion failed!\"");
        assert!(errors.mention(&["Conversion"]) && !errors.mention(&["n:"]));
    }

    #[test]
    fn an_endless_line_and_no_line_end() {
        let listener = Listener::new(std::io::repeat(b'x').take(1 << 20));
        assert!(listener.errors().is_empty());
    }
}
