//! Orders as a saga: reserve, pay, confirm, or undo.
