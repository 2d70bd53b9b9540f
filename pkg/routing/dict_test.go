package routing

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestDict compares versions of a dict with plain maps. The hash keeps few bits,
// at the top or at the bottom, so that keys collide in part and in whole.
func TestDict(t *testing.T) {
	for _, shift := range []int{0, 30, 61} {
		t.Run(fmt.Sprint("hash bits from ", shift), func(t *testing.T) {
			hash := func(key string) uint64 { return uint64(len(key)) << shift }
			random := rand.New(rand.NewPCG(1, uint64(shift)))
			key := func() string { return fmt.Sprintf("%0*d", 1+random.IntN(7), random.IntN(10)) }

			var current dict[int]
			want := map[string]int{}
			type version struct {
				dict dict[int]
				want map[string]int
			}
			var versions []version
			for range 200 {
				e := &edit{hash: hash}
				for range 1 + random.IntN(10) {
					k := key()
					if random.IntN(2) == 0 {
						v := random.Int()
						current.set(e, k, v)
						want[k] = v
					} else {
						current.delete(e, k)
						delete(want, k)
					}
				}
				versions = append(versions, version{current, maps.Clone(want)})
			}
			for i, v := range versions {
				for range 50 {
					k := key()
					got, ok := v.dict.find(hash(k), k, false)
					if wantValue, wantOK := v.want[k]; got != wantValue || ok != wantOK {
						t.Fatalf("version %d: %s is %d, %v; want %d, %v", i, k, got, ok, wantValue, wantOK)
					}
				}
				if v.dict.empty() != (len(v.want) == 0) {
					t.Fatalf("version %d: empty() = %v with %d entries", i, v.dict.empty(), len(v.want))
				}
			}
			e := &edit{hash: hash}
			for k := range want {
				current.delete(e, k)
			}
			if !current.empty() {
				t.Error("after all entries were deleted branches are left")
			}
		})
	}
}
