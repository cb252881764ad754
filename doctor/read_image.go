package doctor

import (
	"bytes"
	"path"
	"time"
)

// isImageConfig knows what docker inspect prints, and an image's configuration as OCI
// stores it.
func isImageConfig(s Source) bool {
	has := func(mark string) bool { return bytes.Contains(s.Text, []byte(mark)) }
	return path.Ext(s.Name) == ".json" && (has(`"Entrypoint"`) || has(`"Cmd"`)) && (has(`"rootfs"`) || has(`"RootFS"`) || has(`"HostConfig"`))
}

// readImageConfig makes an image of each configuration. In it the builder has already
// put a shell in front of what was in shell form. (OCI image specification, config.)
func (f *facts) readImageConfig(s Source) {
	docs, problem := documents(s)
	if problem != nil {
		f.problems = append(f.problems, *problem)
	}
	for _, doc := range docs {
		list := doc.list() // docker inspect prints one, also of one image
		if doc.isMap() {
			list = []node{doc}
		}
		for _, n := range list {
			f.imageConfig(s, n)
		}
	}
}

func (f *facts) imageConfig(s Source, n node) {
	c := n.get("config")
	if !c.isMap() {
		return
	}
	img := &image{
		at: c.at(), dir: dirOf(s.Name), built: true, last: true, env: composeEnv(c.get("Env")), copies: map[string]string{},
		entrypoint: c.get("Entrypoint").command(), cmd: c.get("Cmd").command(), stopSignal: c.get("StopSignal").text(),
	}
	if tags := n.get("RepoTags").list(); len(tags) > 0 {
		img.stage = imageBase(tags[0].text().value)
	}
	if check := c.get("Healthcheck"); check.isMap() {
		if words := check.get("Test").words(); len(words) > 0 && words[0].value != "NONE" {
			img.health = &probe{at: words[0].at, kind: "HEALTHCHECK", period: nanoseconds(check.get("Interval"))}
			for _, w := range words[1:] { // after CMD or CMD-SHELL
				img.health.words = append(img.health.words, splitWords(w)...)
			}
		}
	}
	f.images = append(f.images, img)
}

// nanoseconds is how Docker writes an interval; 0 is its default.
func nanoseconds(n node) time.Duration {
	if d, ok := n.number(); ok && d > 0 {
		return time.Duration(d)
	}
	return 30 * time.Second
}
