package routing

import (
	"cmp"
	"strings"
	"time"
)

// Place is one host, one path and the conditions of a rule in the form in which the table
// compares them. All requests of a place go to one of the routes that have it, the one that
// [Precedes] the others. Places that differ but overlap (a wildcard, a shorter path, fewer
// conditions) do not conflict.
type Place struct{ Host, Path, Conditions string }

// String returns the place as messages show it.
func (p Place) String() string {
	text := p.Host + "/" + p.Path
	if p.Conditions != "" {
		text += " with " + p.Conditions
	}
	return text
}

// Compare orders places by host, path and conditions.
func (p Place) Compare(other Place) int {
	return cmp.Or(cmp.Compare(p.Host, other.Host), cmp.Compare(p.Path, other.Path), cmp.Compare(p.Conditions, other.Conditions))
}

// maxPlaces is how many places of a route are named: a rule has one for each pair of a host
// and a path.
const maxPlaces = 4096

// Places returns the places of rules, the first 4,096 of them.
func Places(rules []Rule) map[Place]struct{} {
	places := map[Place]struct{}{}
	for i := range rules {
		r := compileRule[struct{}](&rules[i])
		place := Place{Conditions: r.asks.String()}
		for _, host := range r.hosts {
			for _, path := range r.paths {
				if len(places) == maxPlaces {
					return places
				}
				place.Host, place.Path = host.String(), path
				places[place] = struct{}{}
			}
		}
	}
	return places
}

// Precedes reports whether the first of two routes with the same place gets its requests. It does
// if it is older or, at the same age, if its name is greater.
func Precedes(created time.Time, name string, otherCreated time.Time, otherName string) bool {
	return comparePrecedence(created, name, otherCreated, otherName) < 0
}

func comparePrecedence(created time.Time, name string, otherCreated time.Time, otherName string) int {
	return cmp.Or(created.Compare(otherCreated), strings.Compare(otherName, name))
}
