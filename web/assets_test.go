package web

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestBudgets: what a browser is sent before it has anything.
func TestBudgets(t *testing.T) {
	t.Parallel()
	files, _ := assets()
	script := 0
	for name, a := range files {
		if strings.HasSuffix(name, ".js") {
			script += len(a.zipped)
		}
	}
	t.Logf("script %d bytes, stylesheet %d bytes, both zipped", script, len(files["ebb.css"].zipped))
	if script > 24<<10 {
		t.Errorf("the script has %d bytes zipped, want at most 24 KiB", script)
	}
	if n := len(files["ebb.css"].zipped); n > 16<<10 {
		t.Errorf("the stylesheet has %d bytes zipped, want at most 16 KiB", n)
	}
	page := ask(open(t, Options{}), "GET", "/").Body.String()
	if n := len(regexp.MustCompile(`(?:src|href)="[^"]*/assets/`).FindAllString(page, -1)) + 1; n > 5 {
		t.Errorf("a page takes %d requests, want at most 4 and the icon", n)
	}
}

func TestAssetsAreKept(t *testing.T) {
	t.Parallel()
	ui := open(t, Options{})
	_, hash := assets()
	w := ask(ui, "GET", "/assets/"+hash+"/ebb.css", with("Accept-Encoding", "gzip, br"))
	if w.Code != 200 || w.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, target := range []string{"/assets/0123456789ab/ebb.css", "/assets/" + hash + "/ebb.fresh.js", "/assets/" + hash + "/..%2fweb.go"} {
		if w := ask(ui, "GET", target); w.Code != 404 {
			t.Errorf("GET %s: %d, want 404", target, w.Code)
		}
	}
}

// TestNothingInline: the policy would refuse it, in a browser and without a word here.
func TestNothingInline(t *testing.T) {
	t.Parallel()
	inline := regexp.MustCompile(`(?i)<[^>]*\s(?:style|on[a-z]+)=|<style|<script(?:\s+type="module")?\s*>|innerHTML|insertAdjacentHTML|outerHTML\s*=`)
	for _, dir := range []string{"templates", "templates/pages", "templates/parts", "assets"} {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.IsDir() || strings.HasSuffix(f.Name(), ".svg") {
				continue
			}
			text, err := os.ReadFile(dir + "/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			found := inline.FindAllString(string(text), -1)
			if f.Name() == "ebb.js" { // the one function that may
				found = found[1:]
			}
			for _, bad := range found {
				t.Errorf("%s/%s: %q", dir, f.Name(), bad)
			}
		}
	}
}

// TestContrast computes from the stylesheet what every text and control has to its
// ground: 4.5 and 3 of WCAG 2.2, 1.4.3 and 1.4.11.
func TestContrast(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("assets/ebb.css")
	if err != nil {
		t.Fatal(err)
	}
	usual, more, _ := strings.Cut(string(text), "@media (prefers-contrast: more)")
	more, _, _ = strings.Cut(more, "/* Ground. */")
	colours := map[string][2]string{}
	token := regexp.MustCompile(`--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)`)
	read := func(css string) {
		for _, m := range token.FindAllStringSubmatch(css, -1) {
			colours[m[1]] = [2]string{m[2], m[3]}
		}
	}
	for _, set := range []struct {
		name, css     string
		text, control float64
	}{{"usual", usual, 4.5, 3}, {"more", more, 7, 4.5}} {
		read(set.css)
		pairs := [][2]string{{"on-accent", "accent"}, {"on-bad", "bad"}}
		grounds := []string{"bg", "surface", "raised"}
		for _, ink := range []string{"text", "muted", "accent", "quiet", "draining", "stopped", "done", "bad"} {
			for _, ground := range grounds {
				pairs = append(pairs, [2]string{ink, ground})
			}
			if _, ok := colours[ink+"-tint"]; ok {
				pairs = append(pairs, [2]string{ink, ink + "-tint"}, [2]string{"text", ink + "-tint"})
			}
		}
		check := func(pair [2]string, want float64) {
			for i, theme := range []string{"light", "dark"} {
				got := contrast(colours[pair[0]][i], colours[pair[1]][i])
				if got < want {
					t.Errorf("%s contrast, %s: %s on %s has %.2f, want %.1f", set.name, theme, pair[0], pair[1], got, want)
				}
			}
		}
		for _, pair := range pairs {
			want := 4.5
			if pair[0] == "text" || pair[0] == "muted" {
				want = set.text
			}
			check(pair, want)
		}
		for _, ground := range grounds {
			check([2]string{"control", ground}, set.control)
		}
	}
	if n := len(colours); n < 20 {
		t.Errorf("only %d colours were found", n)
	}
	t.Logf("muted on its darkest ground: %.1f", contrast(colours["muted"][0], colours["raised"][0]))
}

// contrast is the ratio of WCAG.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(colour string) (l float64) {
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		return math.NaN()
	}
	for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
		c := float64(n>>(8*i)&0xff) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		l += weight * c
	}
	return l
}
