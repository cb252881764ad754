package signature

import (
	"fmt"
	"slices"
	"strconv"
)

// Change is a difference between two versions of a kind.
type Change struct {
	Kind string
	What string
	// Breaks: jobs that one version has put the other one cannot run, or runs with
	// other values than were meant. During a deploy both run.
	Breaks bool
}

// Compare tells how now differs from before. Kinds that are no longer there count as
// broken if all are known, and else are passed over.
func Compare(before, now []Kind, all bool) (changes []Change) {
	index := func(kinds []Kind, name string) int {
		return slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	}
	for _, old := range before {
		if i := index(now, old.Name); i >= 0 {
			changes = append(changes, compare(&old, &now[i])...)
		} else if all {
			changes = append(changes, Change{old.Name, "is no longer defined: jobs of it that wait have no handler", true})
		}
	}
	for i, k := range now {
		if k.Name != "" && index(before, k.Name) < 0 && index(now, k.Name) == i {
			changes = append(changes, Change{k.Name, "is new", false})
		}
	}
	return changes
}

// compare tells how the arguments of one kind differ.
func compare(old, now *Kind) (changes []Change) {
	add := func(breaks bool, format string, args ...any) {
		changes = append(changes, Change{old.Name, fmt.Sprintf(format, args...), breaks})
	}
	place := func(params []Param, name string) int {
		return slices.IndexFunc(params, func(p Param) bool { return p.Name == name && name != "" })
	}
	for i := range old.Params {
		o := &old.Params[i]
		moved := place(now.Params, o.Name)
		switch {
		case moved >= 0 && moved != i:
			add(true, "%s was argument %d and is argument %d", o.called(), i+1, moved+1)
			continue
		case i >= len(now.Params):
			if rest := now.rest(); rest != nil && o.Type.String() == rest.Type.String() && !o.Rest {
				add(false, "%s is part of *%s now", o.called(), rest.Name)
			} else {
				add(true, "argument %d (%s) was removed", i+1, o)
			}
			continue
		}
		n := &now.Params[i]
		if moved < 0 && o.Name != n.Name {
			if place(old.Params, n.Name) >= 0 {
				add(true, "argument %d (%s) was removed", i+1, o)
				continue
			}
			if o.Rest || !n.Rest {
				add(false, "argument %d is called %s and was %s; the position counts", i+1, n.called(), o.called())
			}
		}
		where := "argument " + strconv.Itoa(i+1) + " (" + n.called() + ")"
		switch {
		case o.Rest && !n.Rest:
			add(true, "%s was all the rest and is one argument", where)
		case !o.Rest && n.Rest:
			add(false, "argument %d (%s) is part of *%s now", i+1, o.called(), n.Name)
		case o.Optional && !n.Optional:
			add(true, "%s was optional and is required", where)
		case !o.Optional && n.Optional:
			add(false, "%s was required and is optional", where)
		}
		for _, c := range compareTypes(where, o.Type, n.Type) {
			add(c.Breaks, "%s", c.What)
		}
	}
	for i := len(old.Params); i < len(now.Params); i++ {
		n := &now.Params[i]
		if place(old.Params, n.Name) >= 0 {
			continue // it moved
		}
		if n.Optional || n.Rest {
			add(false, "argument %d (%s) is new", i+1, n)
		} else {
			add(true, "argument %d (%s) is new and required: jobs that wait have none", i+1, n)
		}
	}
	return changes
}

// rest is the parameter that takes all that is left, or nil.
func (k *Kind) rest() *Param {
	if n := len(k.Params); n > 0 && k.Params[n-1].Rest {
		return &k.Params[n-1]
	}
	return nil
}

// compareTypes tells how a value differs. Members of objects are told apart by name.
func compareTypes(where string, old, now Type) (changes []Change) {
	both := func(name string) bool { return old.Name == name && now.Name == name && old.Null == now.Null }
	switch {
	case both("array") || both("map"):
		return compareTypes("each of "+where, *old.Elem, *now.Elem)
	case !both("object"):
		if o, n := old.String(), now.String(); o != n {
			return []Change{{What: fmt.Sprintf("%s was %s and is %s", where, o, n), Breaks: true}}
		}
		return nil
	}
	find := func(fields []Field, name string) *Field {
		if i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name }); i >= 0 {
			return &fields[i]
		}
		return nil
	}
	for _, o := range old.Fields {
		if n := find(now.Fields, o.Name); n != nil {
			changes = append(changes, compareTypes(fmt.Sprintf("%q in %s", o.Name, where), o.Type, n.Type)...)
		} else {
			changes = append(changes, Change{What: fmt.Sprintf("%q in %s was removed", o.Name, where), Breaks: true})
		}
	}
	for _, n := range now.Fields {
		if find(old.Fields, n.Name) == nil {
			changes = append(changes, Change{What: fmt.Sprintf("%q in %s is new", n.Name, where)})
		}
	}
	return changes
}
