//go:build browser

package browser

import (
	"bytes"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// screenshots is where the pictures of the documentation go (make screenshots).
var screenshots = flag.String("screenshots", "", "folder for the pictures of the pages; by default that of the test's artifacts")

// mostBytes is what a picture of the documentation may weigh.
const mostBytes = 40 << 10

func TestPicturesOfThePages(t *testing.T) {
	pictures := map[string][]screen{
		"waiting-page":   screens,
		"own-page":       screens,
		"error-page":     screens,
		"ready-page":     screens,
		"late-page":      {screens[2], screens[3]},
		"form-page":      {screens[2], screens[3]},
		"forced-colors":  {forced},
		"right-to-left":  {screens[2], screens[3]},
		"sandboxed-page": {screens[2], screens[3]},
	}
	for _, l := range looks(t) {
		for _, s := range pictures[l.picture] {
			t.Run(l.picture+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				s.height = min(s.height, 640)
				s.width = min(s.width, 960)
				tb := show(t, l, s)
				shot := tb.shot(t)
				picture, err := png.DecodeConfig(bytes.NewReader(shot))
				if err != nil || int64(picture.Width) != s.width || len(shot) > mostBytes {
					t.Errorf("%d bytes, width %d (%v); a picture has at most %d bytes and is %d wide", len(shot), picture.Width, err, mostBytes, s.width)
				}
				folder := *screenshots
				if folder == "" {
					folder = t.ArtifactDir()
				}
				if err := os.WriteFile(filepath.Join(folder, l.picture+"-"+s.name+".png"), shot, 0o644); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
