//! The shop's services as they run: real processes' worth of service each, on ports of their own, over HTTP.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod chassis;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod front_door;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod shoppers;
#[cfg(test)]
mod started;
