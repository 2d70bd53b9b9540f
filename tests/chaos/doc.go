// Package chaos kills, cuts off and freezes parts of a node (tests/e2e/node) at random
// while sleeping targets are woken again and again. No request may be lost or hang, and every
// wake must happen. After the storm, all counts and holds of the add-on must be as before.
// Randomness comes from a seed.
//
// To prove that it would notice, it can run with a defect in one of our programs.
package chaos
