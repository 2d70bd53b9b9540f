//go:build browser

package browser

import (
	"bytes"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// screenshots is where the pictures of the documentation go (make screenshots).
var screenshots = flag.String("screenshots", "", "folder for the pictures of the pages; by default that of the test's artifacts")

// mostBytes is what a picture of the documentation may weigh.
const mostBytes = 40 << 10

func TestPicturesOfThePages(t *testing.T) {
	c := startChromium(t)
	pictured := map[string]string{"estimate": "waiting-page", "template": "own-page", "error": "error-page"}
	for _, l := range looks(t) {
		name, ok := pictured[l.name]
		if !ok {
			continue
		}
		for _, s := range screens {
			t.Run(name+"/"+s.name, func(t *testing.T) {
				s.height = min(s.height, 640)
				s.width = min(s.width, 960)
				tb := c.show(t, l, s)
				shot, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
				if err != nil {
					t.Fatal(err)
				}
				picture, err := png.DecodeConfig(bytes.NewReader(shot))
				if err != nil || int64(picture.Width) != s.width || len(shot) > mostBytes {
					t.Errorf("%d bytes, width %d (%v); a picture has at most %d bytes and is %d wide", len(shot), picture.Width, err, mostBytes, s.width)
				}
				folder := *screenshots
				if folder == "" {
					folder = t.ArtifactDir()
				}
				if err := os.WriteFile(filepath.Join(folder, name+"-"+s.name+".png"), shot, 0o644); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
