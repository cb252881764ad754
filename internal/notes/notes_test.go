package notes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRoundTrip reads while others write, what is new each time.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := NewReader(dir)
	read := func(want ...Note) {
		t.Helper()
		var got []Note
		err := r.Each(func(n Note) {
			if ago := time.Since(n.At); ago < 0 || ago > time.Hour {
				t.Errorf("noted at %v", n.At)
			}
			n.At = time.Time{}
			got = append(got, n)
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	page := func(by string) *Page {
		p, err := Open(dir, by)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	write := func(p *Page, what, job string, n int64) {
		t.Helper()
		if err := p.Write(what, job, n); err != nil {
			t.Fatal(err)
		}
	}
	read()
	one := page("1")
	read()
	write(one, "began", "a", 0)
	write(one, "ended", "a", -7)
	read(Note{By: "1", What: "began", Job: "a"}, Note{By: "1", What: "ended", Job: "a", N: -7})
	read()
	two := page("2")
	write(two, "began", "b", 1)
	write(one, "began", "c", 2)
	read(Note{By: "1", What: "began", Job: "c", N: 2}, Note{By: "2", What: "began", Job: "b", N: 1})
	write(page("1"), "ended", "c", 0) // opened again, it goes on
	read(Note{By: "1", What: "ended", Job: "c"})
}

// TestHalfANote is there once the rest of it is.
func TestHalfANote(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "1"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, n := NewReader(dir), 0
	for _, part := range []string{"1767225600000000000 beg", "an a 1", "2", "\n"} {
		if n > 0 {
			t.Fatalf("read before %q", part)
		}
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
		if err := r.Each(func(note Note) { n += int(note.N) }); err != nil {
			t.Fatal(err)
		}
	}
	if n != 12 {
		t.Errorf("read %d, want 12", n)
	}
}

func TestStrangeFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "1"), []byte("not a note\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := NewReader(dir).Each(func(Note) { t.Error("read something") })
	if err == nil || !strings.Contains(err.Error(), `"not a note\n"`) {
		t.Errorf("error %v", err)
	}
}
