//! Rows by key with small numbers for names, bounded; rows that nothing touches are swept away and their numbers used
//! again. Pure: the time comes in.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
struct Row<K, V> {
    key: K,
    value: V,
    touched: i64,
}

/// Rows by key and by number.
#[derive(Debug)]
pub struct Table<K, V> {
    numbers: HashMap<K, u32>,
    rows: Vec<Option<Row<K, V>>>,
    free: Vec<u32>,
    rows_max: usize,
    refused: u64,
}

impl<K: Eq + Hash + Clone, V> Table<K, V> {
    /// Holds at most so many rows.
    pub fn new(rows_max: usize) -> Self {
        Self { numbers: HashMap::new(), rows: Vec::new(), free: Vec::new(), rows_max, refused: 0 }
    }

    /// The number of a row, made if it is new; nothing, and counted, if there are too many.
    pub fn number(&mut self, key: &K, second: i64, make: impl FnOnce() -> V) -> Option<u32> {
        if let Some(number) = self.numbers.get(key).copied() {
            if let Some(row) = &mut self.rows[number as usize] {
                row.touched = row.touched.max(second);
            }
            return Some(number);
        }
        if self.numbers.len() >= self.rows_max {
            self.refused += 1;
            return None;
        }
        let row = Some(Row { key: key.clone(), value: make(), touched: second });
        let number = match self.free.pop() {
            Some(number) => {
                self.rows[number as usize] = row;
                number
            }
            None => {
                self.rows.push(row);
                u32::try_from(self.rows.len() - 1).ok()?
            }
        };
        self.numbers.insert(key.clone(), number);
        Some(number)
    }

    /// The number of a row, if there is one.
    pub fn find(&self, key: &K) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// A row.
    pub fn get(&self, number: u32) -> Option<(&K, &V)> {
        self.rows.get(number as usize)?.as_ref().map(|row| (&row.key, &row.value))
    }

    /// A row, to be changed.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut V> {
        self.rows.get_mut(number as usize)?.as_mut().map(|row| &mut row.value)
    }

    /// All rows, in order of number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &K, &V)> {
        (0u32..).zip(&self.rows).filter_map(|(number, row)| row.as_ref().map(|row| (number, &row.key, &row.value)))
    }

    /// All rows, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.rows.iter_mut().flatten().map(|row| &mut row.value)
    }

    /// Rows there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Forgets the rows that were not touched since.
    pub fn sweep(&mut self, oldest: i64) {
        for (number, slot) in (0u32..).zip(&mut self.rows) {
            if let Some(row) = slot.take_if(|row| row.touched < oldest) {
                self.numbers.remove(&row.key);
                self.free.push(number);
            }
        }
    }

    /// How often a row was refused because there were too many.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bounded_swept_and_their_numbers_used_again() {
        let mut table: Table<&str, u8> = Table::new(2);
        assert_eq!((table.number(&"a", 1, || 7), table.number(&"b", 5, || 8)), (Some(0), Some(1)));
        assert_eq!((table.number(&"c", 5, || 9), table.refused()), (None, 1));
        table.sweep(3);
        assert_eq!((table.find(&"a"), table.len()), (None, 1));
        assert_eq!(table.number(&"c", 6, || 9), Some(0));
        assert_eq!(table.get(0), Some((&"c", &9)));
    }
}
