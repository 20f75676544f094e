// Package inspect reads what coordinators know: who they are, who leads, which
// members and streams a region has, its trees and what happens to it.
//
// Its types are what `-o json` prints, so their fields are only added to: times
// in ms end in _ms, rates in kbit/s in _kbps.
package inspect
