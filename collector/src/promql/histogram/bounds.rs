//! Where buckets end: powers of two for exponential schemas, a histogram's own bounds for custom buckets.

use crate::series::{SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN};

/// Steps within a power of two of the finest schema.
const STEPS: usize = 256;

/// 2^(2^-schema) for the schemas 1 to 8, the root of two rounded down: from these all bounds follow as in Prometheus'
/// tables, to the last digit.
const FACTORS: [f64; 8] = [
    std::f64::consts::SQRT_2.next_down(),
    1.189_207_115_002_721,
    1.090_507_732_665_257_7,
    1.044_273_782_427_413_8,
    1.021_897_148_654_116_6,
    1.010_889_286_051_700_5,
    1.005_429_901_112_802_7,
    1.002_711_275_050_202_5,
];

/// For each schema from 0 on, the bounds from 0.5 to below 1.
static FRACTIONS: [[f64; STEPS]; 9] = fractions();

/// Every second bound is one of the schema before; those between follow by multiplication from the one below.
const fn fractions() -> [[f64; STEPS]; 9] {
    let mut table = [[0.5; STEPS]; 9];
    let mut schema = 1;
    while schema < table.len() {
        let mut step = 1;
        while step < 1 << schema {
            table[schema][step] =
                if step % 2 == 0 { table[schema - 1][step / 2] } else { table[schema][step - 1] * FACTORS[schema - 1] };
            step += 1;
        }
        schema += 1;
    }
    table
}

/// The upper bound of a bucket; the one below it ends where it begins.
pub(super) fn upper(index: i32, schema: i32, custom: &[f64]) -> f64 {
    if schema == SCHEMA_CUSTOM {
        return match usize::try_from(index) {
            Ok(index) => custom.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        };
    }
    exponential(index, schema.clamp(SCHEMA_MIN, SCHEMA_MAX))
}

/// The upper bound of a bucket of an exponential schema.
pub(super) fn exponential(index: i32, schema: i32) -> f64 {
    let (fraction, exponent) = if schema < 0 {
        (0.5, (i64::from(index) << -schema) + 1)
    } else {
        let step = index & ((1 << schema) - 1);
        let row = usize::try_from(schema).expect("not negative here");
        (FRACTIONS[row][usize::try_from(step).expect("masked to be within the row")], i64::from(index >> schema) + 1)
    };
    // The bucket of the largest finite numbers ends with them; infinity has the next one to itself.
    if fraction.to_bits() == 0.5f64.to_bits() && exponent == 1025 { f64::MAX } else { scale(fraction, exponent) }
}

/// `fraction * 2^exponent`, rounded once; infinity or zero where there is no such number.
fn scale(fraction: f64, exponent: i64) -> f64 {
    let exponent = exponent.clamp(-2_000, 2_000);
    let half = exponent / 2;
    fraction * power(half) * power(exponent - half)
}

/// `2^exponent` for exponents of normal numbers.
fn power(exponent: i64) -> f64 {
    let biased = u64::try_from(exponent + 1023).expect("within a thousand of zero");
    f64::from_bits(biased << 52)
}
