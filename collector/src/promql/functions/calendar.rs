//! Functions that read a number as seconds since the epoch, in UTC and the Gregorian calendar.

use super::whole;

/// A part of a date.
pub(super) type Field = fn(f64) -> f64;

const DAY_SECONDS: i64 = 86_400;

/// The part of that name.
pub(super) fn by_name(name: &str) -> Option<Field> {
    Some(match name {
        "year" => |seconds| year_value(date(seconds).year),
        "month" => |seconds| whole(date(seconds).month),
        "day_of_month" => |seconds| whole(date(seconds).day),
        "day_of_year" => day_of_year,
        "day_of_week" => |seconds| whole(part(days(seconds).saturating_add(4).rem_euclid(7))),
        "days_in_month" => |seconds| {
            let date = date(seconds);
            whole(month_days(date.year, date.month))
        },
        "hour" => |seconds| whole(part(second_of_day(seconds) / 3_600)),
        "minute" => |seconds| whole(part(second_of_day(seconds) / 60 % 60)),
        _ => return None,
    })
}

struct Date {
    year: i64,
    month: u32,
    day: u32,
}

#[expect(clippy::cast_possible_truncation, reason = "beyond its range a time is cut to it, as good as any")]
fn instant(seconds: f64) -> i64 {
    seconds as i64
}

fn days(seconds: f64) -> i64 {
    instant(seconds).div_euclid(DAY_SECONDS)
}

fn second_of_day(seconds: f64) -> i64 {
    instant(seconds).rem_euclid(DAY_SECONDS)
}

/// A small number that is known not to be negative.
fn part(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "a year is far below 2^53")]
fn year_value(year: i64) -> f64 {
    year as f64
}

/// Counts years from 1 March, so that the leap day is a year's last, in eras of 400 years, which all have the same days.
fn date(seconds: f64) -> Date {
    const ERA_DAYS: i64 = 146_097;
    /// Days from 0000-03-01 to 1970-01-01.
    const EPOCH: i64 = 719_468;
    let shifted = days(seconds).saturating_add(EPOCH);
    let (era, day_of_era) = (shifted.div_euclid(ERA_DAYS), shifted.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Date { year, month: part(month), day: part(day_of_year - (153 * shifted_month + 2) / 5 + 1) }
}

fn day_of_year(seconds: f64) -> f64 {
    let date = date(seconds);
    whole((1..date.month).map(|month| month_days(date.year, month)).sum::<u32>() + date.day)
}

fn month_days(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
