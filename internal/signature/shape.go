package signature

import (
	"fmt"
	"go/types"
	"reflect"
	"strings"
)

// params are the arguments that a Go type stands for, by the rules of ebb.Define,
// and why Define would refuse it.
func params(typ types.Type, asObject bool) (list []Param, wrong []string) {
	typ = types.Unalias(typ)
	if _, ok := typ.(*types.TypeParam); ok {
		return nil, []string{"its arguments are a type parameter"}
	}
	if _, ok := typ.(*types.Pointer); ok {
		return nil, []string{fmt.Sprintf("its arguments are a pointer, %s", short(typ))}
	}
	shape, isStruct := typ.Underlying().(*types.Struct)
	if asObject {
		t := typeOf(typ, nil)
		if t.Name != "object" && t.Name != "map" && !isStruct {
			return nil, []string{fmt.Sprintf("AsObject needs a struct or a map, and %s is neither", short(typ))}
		}
		return []Param{{Type: t}}, nil
	}
	if !isStruct || ownJSON(typ) {
		p := Param{Type: typeOf(typ, nil)}
		if named, ok := typ.(*types.Named); ok {
			p.Name = rubyName(named.Obj().Name())
		}
		return []Param{p}, nil
	}
	for i := range shape.NumFields() {
		field := shape.Field(i)
		tag := reflect.StructTag(shape.Tag(i))
		if tag.Get("ebb") == "-" {
			continue
		}
		p, err := param(field, tag)
		if err == "" && len(list) > 0 {
			err = list[len(list)-1].before(&p)
		}
		if err != "" {
			wrong = append(wrong, "field "+field.Name()+" "+err)
		}
		list = append(list, p)
	}
	return list, wrong
}

// param makes a parameter of a field, or says why it cannot be one.
func param(field *types.Var, tag reflect.StructTag) (p Param, wrong string) {
	p = Param{Name: rubyName(field.Name())}
	switch of := tag.Get("ebb"); of {
	case "":
	case "optional":
		p.Optional = true
	case "rest":
		p.Rest = true
	default:
		return p, fmt.Sprintf("has the tag ebb:%q, which is not one of optional, rest and -", of)
	}
	switch {
	case field.Anonymous():
		return p, "is embedded and has no place among the arguments"
	case !field.Exported():
		return p, "is not exported"
	case tag.Get("json") == "-":
		return p, `is kept out of JSON; tag it ebb:"-" too`
	}
	typ := field.Type()
	if p.Rest {
		slice, ok := typ.Underlying().(*types.Slice)
		if !ok || ownJSON(typ) {
			return p, fmt.Sprintf("is tagged rest, and %s is no slice", short(typ))
		}
		typ = slice.Elem()
	}
	p.Type = typeOf(typ, nil)
	return p, ""
}

// before says what is wrong with next behind p.
func (p *Param) before(next *Param) string {
	switch {
	case p.Rest:
		return "stands behind *" + p.Name + ", which must be the last"
	case p.Optional && !next.Optional && !next.Rest:
		return "must be optional, as " + p.Name + " before it is"
	}
	return ""
}

// typeOf follows encoding/json. Within are the named types around typ, of which one
// may be typ itself.
func typeOf(typ types.Type, within []*types.TypeName) Type {
	typ = types.Unalias(typ)
	if pointer, ok := typ.(*types.Pointer); ok {
		t := typeOf(pointer.Elem(), within)
		t.Null = true
		return t
	}
	if named, ok := typ.(*types.Named); ok {
		if t, ok := special(named); ok {
			return t
		}
		for _, outer := range within {
			if outer == named.Obj() {
				return Type{Name: short(typ)}
			}
		}
		within = append(within[:len(within):len(within)], named.Obj())
	}
	switch u := typ.Underlying().(type) {
	case *types.Basic:
		return Type{Name: basic(u)}
	case *types.Slice:
		if b, ok := u.Elem().Underlying().(*types.Basic); ok && b.Kind() == types.Byte && !ownJSON(u.Elem()) {
			return Type{Name: "bytes"}
		}
		return Type{Name: "array", Elem: new(typeOf(u.Elem(), within))}
	case *types.Array:
		return Type{Name: "array", Elem: new(typeOf(u.Elem(), within))}
	case *types.Map:
		return Type{Name: "map", Elem: new(typeOf(u.Elem(), within))}
	case *types.Struct:
		return Type{Name: "object", Fields: fields(u, within)}
	case *types.Interface:
		return Type{Name: "any"}
	}
	return Type{Name: short(typ)} // Define refuses it
}

func basic(b *types.Basic) string {
	switch info := b.Info(); {
	case info&types.IsBoolean != 0:
		return "boolean"
	case info&types.IsInteger != 0:
		return "integer"
	case info&types.IsFloat != 0:
		return "number"
	case info&types.IsString != 0:
		return "string"
	}
	return b.Name()
}

// special are types whose JSON does not follow from what they are made of.
func special(named *types.Named) (Type, bool) {
	name := named.Obj().Name()
	if pkg := named.Obj().Pkg(); pkg != nil {
		switch pkg.Path() + "." + name {
		case "time.Time":
			return Type{Name: "time"}, true
		case "encoding/json.RawMessage":
			return Type{Name: "any"}, true
		case "encoding/json.Number":
			return Type{Name: "number"}, true
		}
	}
	switch {
	case hasMethod(named, "MarshalJSON") || hasMethod(named, "UnmarshalJSON"):
		return Type{Name: short(named)}, true
	case hasMethod(named, "MarshalText") || hasMethod(named, "UnmarshalText"):
		return Type{Name: "string"}, true
	}
	return Type{}, false
}

func ownJSON(typ types.Type) bool {
	named, ok := types.Unalias(typ).(*types.Named)
	if !ok {
		return false
	}
	_, own := special(named)
	return own
}

func hasMethod(typ types.Type, name string) bool {
	obj, _, _ := types.LookupFieldOrMethod(typ, true, nil, name)
	_, ok := obj.(*types.Func)
	return ok
}

// fields are the members of a struct's JSON object. Those of an embedded struct
// without a name of its own stand among them.
func fields(s *types.Struct, within []*types.TypeName) (list []Field) {
	for i := range s.NumFields() {
		field := s.Field(i)
		tag := reflect.StructTag(s.Tag(i)).Get("json")
		name, opts, _ := strings.Cut(tag, ",")
		if tag == "-" {
			continue
		}
		if embedded, ok := deref(field.Type()).Underlying().(*types.Struct); ok && field.Anonymous() && name == "" && !ownJSON(field.Type()) {
			list = append(list, fields(embedded, within)...)
			continue
		}
		if !field.Exported() {
			continue
		}
		f := Field{Name: name, Type: typeOf(field.Type(), within)}
		if name == "" {
			f.Name = field.Name()
		}
		for opt := range strings.SplitSeq(opts, ",") {
			switch opt {
			case "omitempty", "omitzero":
				f.Optional = true
			case "string":
				f.Type = Type{Name: "string", Null: f.Type.Null}
			}
		}
		list = append(list, f)
	}
	return list
}

func deref(typ types.Type) types.Type {
	if pointer, ok := types.Unalias(typ).(*types.Pointer); ok {
		return pointer.Elem()
	}
	return typ
}

// short names a type as its users do.
func short(typ types.Type) string {
	return types.TypeString(typ, func(p *types.Package) string { return p.Name() })
}
