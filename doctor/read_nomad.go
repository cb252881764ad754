package doctor

import (
	"errors"
	"path"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// What Nomad grants. (Nomad, task and client configuration.)
const (
	nomadGrace = 5 * time.Second
	nomadMost  = 30 * time.Second // max_kill_timeout unless the client says otherwise
)

func isHCL(s Source) bool {
	e := path.Ext(s.Name)
	return e == ".hcl" || e == ".nomad"
}

func (f *facts) readNomad(s Source) {
	file, diagnostics := hclsyntax.ParseConfig(s.Text, s.Name, hcl.InitialPos)
	if diagnostics.HasErrors() {
		at := Place{s.Name, 1}
		text := diagnostics.Error()
		if d, ok := errors.AsType[*hcl.Diagnostic](diagnostics.Errs()[0]); ok {
			text = d.Summary
			if d.Subject != nil {
				at.Line = d.Subject.Start.Line
			}
		}
		f.problem(at, "this is not HCL: %s", text)
		return
	}
	root := file.Body.(*hclsyntax.Body) // of ParseConfig
	f.hcl(s.Name, root, 8)
}

// hcl looks for tasks and for a client's limit, wherever they are.
func (f *facts) hcl(file string, body *hclsyntax.Body, depth int) {
	if depth == 0 {
		return
	}
	for _, b := range body.Blocks {
		h := hclBlock{file, b.Body}
		switch {
		case b.Type == "task" && len(b.Labels) == 1:
			f.workloads = append(f.workloads, h.task(text{b.Labels[0], Place{file, b.TypeRange.Start.Line}}))
			continue
		case b.Type == "client":
			if d, ok := seconds(h.text("max_kill_timeout").value); ok {
				f.maxKill = max(f.maxKill, d)
			}
		}
		f.hcl(file, b.Body, depth-1)
	}
}

// hclBlock is a block whose attributes are known without running anything.
type hclBlock struct {
	file string
	body *hclsyntax.Body
}

// words are an attribute's texts, one or a list. What depends on a variable is not
// known, and left empty.
func (h hclBlock) words(name string) (words []word) {
	a := h.body.Attributes[name]
	if a == nil {
		return nil
	}
	list := []hclsyntax.Expression{a.Expr}
	if tuple, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok {
		list = tuple.Exprs
	}
	for _, e := range list {
		w := word{at: Place{h.file, e.Range().Start.Line}}
		if v, diagnostics := e.Value(nil); !diagnostics.HasErrors() && !v.IsNull() && v.IsWhollyKnown() && v.Type().FriendlyName() == "string" {
			w.value = v.AsString()
		}
		words = append(words, w)
	}
	return words
}

func (h hclBlock) text(name string) text {
	if words := h.words(name); len(words) == 1 {
		return words[0]
	}
	return text{}
}

func (h hclBlock) isTrue(name string) bool {
	a := h.body.Attributes[name]
	if a == nil {
		return false
	}
	v, diagnostics := a.Expr.Value(nil)
	return !diagnostics.HasErrors() && v.IsWhollyKnown() && !v.IsNull() && v.Type().FriendlyName() == "bool" && v.True()
}

func (h hclBlock) task(name text) *workload {
	w := &workload{
		name: name.value, platform: nomad, at: name.at, stopSignal: h.text("kill_signal"),
		grace: span{value: nomadGrace, at: name.at}, env: map[string]text{}, driver: h.text("driver").value,
	}
	if t := h.text("kill_timeout"); t.value != "" {
		if d, ok := seconds(t.value); ok {
			w.grace = span{d, t.at, t.value}
		}
	}
	for _, b := range h.body.Blocks {
		config := hclBlock{h.file, b.Body}
		switch b.Type {
		case "env":
			for key := range b.Body.Attributes {
				w.env[key] = config.text(key)
			}
		case "config":
			w.imageName = config.text("image")
			words := append(config.words("command"), config.words("args")...)
			if entry := config.words("entrypoint"); len(entry) > 0 {
				w.entry = &command{at: w.at, words: entry}
			}
			if len(words) > 0 || w.entry != nil {
				w.args = &command{at: w.at, words: words}
			}
			if config.isTrue("init") {
				w.init = Place{h.file, b.Body.Attributes["init"].SrcRange.Start.Line}
			}
		}
	}
	return w
}
