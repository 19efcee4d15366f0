//! How the axes of a domain become loops.
//!
//! Where that pays, a [`Block`] of rows is one of the column loops: the innermost one, so that vectors hold neighbouring
//! rows and a sum over columns adds vectors; or the outermost one, so that sums across lanes are made of many rows at
//! once. Then also what is done once per row is done for the whole block.

use backprop_core::array::Sizes;

use super::item::Product;
use super::view::row_major;
use crate::loops::Strides;

/// How the axes of a domain become loops.
#[derive(Clone, Copy)]
pub enum Loops {
    /// The first axes are rows, the others columns.
    Split(usize),
    /// The same, but a block of rows is a column loop.
    Block(Block),
    /// Batch loops and rows of a contraction, and its columns.
    Product(Product),
}

/// Rows as a column loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// How many axes are rows.
    pub split: usize,
    /// How many iterations of the last of them make a block.
    pub n_rows: usize,
    /// Which column loop they are.
    pub side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Around the columns.
    Outside,
    /// Inside of the columns: the loop that vectors are made of.
    Inside,
}

impl Block {
    /// What belongs to the columns, with what belongs to the rows at its side.
    fn beside<T: Copy>(self, columns: &[T], rows: T) -> impl Iterator<Item = T> {
        let [before, after] = match self.side {
            Side::Outside => [Some(rows), None],
            Side::Inside => [None, Some(rows)],
        };
        before.into_iter().chain(columns.iter().copied()).chain(after)
    }
}

impl Loops {
    /// The sizes of the row loops and of the column loops over a domain.
    pub fn extents(self, sizes: &[usize]) -> (Sizes, Sizes) {
        match self {
            Loops::Split(split) => (sizes[..split].into(), sizes[split..].into()),
            Loops::Block(block) => {
                let (rows, columns) = sizes.split_at(block.split);
                let (&last, rows) = rows.split_last().expect("a block is of rows");
                let n_blocks = Some(last / block.n_rows).filter(|&n_blocks| n_blocks > 1);
                (
                    rows.iter().copied().chain(n_blocks).collect(),
                    block.beside(columns, block.n_rows).collect(),
                )
            }
            Loops::Product(product) => {
                let cut = product.n_batch + product.n_left;
                let rows = sizes[..product.n_batch].iter().copied();
                let left = sizes[product.n_batch..cut].iter().product();
                (rows.chain([left]).collect(), [sizes[cut..].iter().product()].into_iter().collect())
            }
        }
    }

    /// How many rows the column loops cover.
    pub fn n_rows_at_once(self) -> usize {
        if let Loops::Block(block) = self { block.n_rows } else { 1 }
    }

    /// Strides along the axes of the domain (`is_full`), or of its rows, as those of `n_rows` row loops and of column
    /// loops.
    pub fn split(self, strides: &[isize], n_rows: usize, is_full: bool) -> (Strides, Strides) {
        match self {
            Loops::Block(block) => {
                let (rows, columns) = strides.split_at(block.split);
                let (&last, rows) = rows.split_last().expect("a block is of rows");
                // Where there is one block only, it takes no row loop.
                let of_blocks = (n_rows == block.split).then(|| last * block.n_rows as isize);
                (rows.iter().copied().chain(of_blocks).collect(), block.beside(columns, last).collect())
            }
            Loops::Split(split) if is_full => (strides[..split].into(), strides[split..].into()),
            _ => (strides.into(), Strides::new()),
        }
    }

    /// The strides of a local along the column loops of a stage over all `columns` (`is_full`) or over rows alone: it
    /// holds an element for each column, or for each row.
    pub fn of_local(self, columns: &[usize], is_full: bool, holds_columns: bool) -> Strides {
        match self {
            _ if holds_columns => row_major(columns),
            Loops::Block(block) if is_full => {
                block.beside(&Strides::from_elem(0, columns.len() - 1), 1).collect()
            }
            Loops::Block(_) => [1][..].into(),
            _ if is_full => Strides::from_elem(0, columns.len()),
            _ => Strides::new(),
        }
    }
}
