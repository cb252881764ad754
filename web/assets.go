package web

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed assets
var assetFiles embed.FS

// asset is a file that pages need, as it is sent.
type asset struct {
	plain, zipped []byte
	kind          string
}

// assets are all files by the name under which they are served. The address holds a
// hash of all of them: a page gets the scripts that it was written for. hash is that
// part.
var assets = sync.OnceValues(func() (files map[string]asset, hash string) {
	names, err := fs.Glob(assetFiles, "assets/*")
	if err != nil {
		panic(err) // they are in the program
	}
	slices.SortStableFunc(names, func(a, b string) int { // what others build on comes first
		return cmp.Compare(strings.Count(path.Base(a), "."), strings.Count(path.Base(b), "."))
	})
	sum := sha256.New()
	plain := map[string][]byte{}
	for _, name := range names {
		text, err := assetFiles.ReadFile(name)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
		as := served(path.Base(name))
		plain[as] = append(plain[as], text...)
	}
	hash = hex.EncodeToString(sum.Sum(nil))[:12]
	files = map[string]asset{}
	for name, text := range plain {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		z.Write(text)
		z.Close()
		files[name] = asset{text, b.Bytes(), mime.TypeByExtension(path.Ext(name))}
	}
	return files, hash
})

// served is the name of the file that one is a part of: all ebb*.css are served as one
// stylesheet and all ebb*.js as one script, so that a page asks for few files. The parts
// of the script share their names.
func served(name string) string {
	if strings.HasPrefix(name, "ebb") {
		return "ebb" + path.Ext(name)
	}
	return name
}

// serveAsset serves /assets/HASH/NAME. The address of a file changes with it, so that
// browsers may keep it for good.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	files, hash := assets()
	a, ok := files[r.PathValue("name")]
	if !ok || r.PathValue("hash") != hash {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = a.zipped
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// Asset is the address of a file.
func (r *request) Asset(name string) string {
	_, hash := assets()
	return r.base + "/assets/" + hash + "/" + name
}
