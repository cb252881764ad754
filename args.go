package ebb

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// codec turns the arguments of one kind into the array "args" and back. It is made
// once, by Define, and never changes.
type codec struct {
	kind     string
	params   []param
	required int // parameters that must be there; they come first
}

// param is one parameter: a field of the arguments' struct, or all of a value that
// travels as a single argument.
type param struct {
	name  string // "" for a whole value
	index int    // of the field; -1 for a whole value
	typ   reflect.Type
	// optional may be missing, or null; rest takes all arguments that are left.
	optional, rest bool
	// plain values need no help from encoding/json; nilable ones may be null.
	plain, nilable bool
}

// newCodec reads the shape of typ. The error says all that is wrong with it.
func newCodec(kind string, typ reflect.Type, asObject bool) (*codec, error) {
	c := &codec{kind: kind}
	switch {
	case typ.Kind() == reflect.Pointer:
		return nil, fmt.Errorf("the arguments are a pointer, write %v instead", typ.Elem())
	case !canTravel(typ):
		return nil, fmt.Errorf("%v has no JSON", typ)
	case asObject && typ.Kind() != reflect.Struct && typ.Kind() != reflect.Map:
		return nil, fmt.Errorf("AsObject needs a struct or a map, and %v is neither", typ)
	case asObject && hasTags(typ):
		return nil, fmt.Errorf("the ebb tags of %v mean nothing with AsObject; its json tags count", typ)
	case typ.Kind() != reflect.Struct || asObject || hasOwnJSON(typ):
		c.params = []param{newParam("", -1, typ)}
	default:
		var problems []error
		for field := range typ.Fields() {
			if err := c.addField(field); err != nil {
				problems = append(problems, fmt.Errorf("field %s: %w", field.Name, err))
			}
		}
		if err := errors.Join(problems...); err != nil {
			return nil, err
		}
	}
	for _, p := range c.params {
		if !p.optional && !p.rest {
			c.required++
		}
	}
	return c, nil
}

// addField makes a parameter of a field, or says why it cannot be one. Whatever
// could silently stay behind is refused: only the tag "-" leaves a field out.
func (c *codec) addField(f reflect.StructField) error {
	tag := f.Tag.Get("ebb")
	if tag == "-" {
		return nil
	}
	p := newParam(f.Name, f.Index[0], f.Type)
	switch tag {
	case "":
	case "optional":
		p.optional = true
	case "rest":
		p.rest = true
	default:
		return fmt.Errorf(`the tag ebb:%q is not one of "optional", "rest" and "-"`, tag)
	}
	switch {
	case f.Anonymous:
		return errors.New(`an embedded field has no place among the arguments; name it, or tag it ebb:"-"`)
	case !f.IsExported():
		return errors.New(`an unexported field cannot travel; export it, or tag it ebb:"-"`)
	case f.Tag.Get("json") == "-":
		return errors.New(`the tag json:"-" does not keep it out of the arguments; tag it ebb:"-" too`)
	case !canTravel(f.Type):
		return fmt.Errorf("%v has no JSON", f.Type)
	case p.rest && (f.Type.Kind() != reflect.Slice || hasOwnJSON(f.Type)):
		return fmt.Errorf(`the tag ebb:"rest" needs a slice, and %v is none`, f.Type)
	}
	if n := len(c.params); n > 0 {
		switch last := c.params[n-1]; {
		case last.rest:
			return fmt.Errorf(`%s is tagged ebb:"rest" and must be the last field`, last.name)
		case last.optional && !p.optional && !p.rest:
			return fmt.Errorf(`%s before it is tagged ebb:"optional", so this one must be too`, last.name)
		}
	}
	if p.rest {
		p.plain, p.nilable = traits(f.Type.Elem())
	}
	c.params = append(c.params, p)
	return nil
}

func hasTags(typ reflect.Type) bool {
	if typ.Kind() != reflect.Struct {
		return false
	}
	for field := range typ.Fields() {
		if _, ok := field.Tag.Lookup("ebb"); ok {
			return true
		}
	}
	return false
}

func newParam(name string, index int, typ reflect.Type) param {
	p := param{name: name, index: index, typ: typ}
	p.plain, p.nilable = traits(typ)
	return p
}

// traits tells how values of a type are read. Where null has no Go value,
// encoding/json would leave a zero without a word.
func traits(typ reflect.Type) (plain, nilable bool) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return false, true
	case reflect.Bool, reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		plain = !hasOwnJSON(typ)
	}
	return plain, reflect.PointerTo(typ).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// canTravel is false for types that encoding/json refuses whatever their value.
func canTravel(typ reflect.Type) bool {
	switch typ.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Uintptr:
		return hasOwnJSON(typ)
	}
	return true
}

// hasOwnJSON tells the types whose JSON does not follow from their kind.
func hasOwnJSON(typ reflect.Type) bool {
	if typ == reflect.TypeFor[json.Number]() {
		return true
	}
	ptr := reflect.PointerTo(typ)
	return ptr.Implements(reflect.TypeFor[json.Marshaler]()) || ptr.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		ptr.Implements(reflect.TypeFor[encoding.TextMarshaler]()) || ptr.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// encode returns the array for v, which must be addressable. Optional arguments at
// the end that hold their zero value stay out, so that Ruby's defaults apply.
func (c *codec) encode(v reflect.Value) (json.RawMessage, error) {
	sent := len(c.params)
	for sent > c.required && c.params[sent-1].isUnset(v) {
		sent--
	}
	dst := make([]byte, 1, 64)
	dst[0] = '['
	var err error
	for i := range c.params[:sent] {
		p := &c.params[i]
		field := p.of(v)
		if !p.rest {
			if dst, err = c.appendArg(dst, i, p, field); err != nil {
				return nil, err
			}
			continue
		}
		for j := range field.Len() {
			if dst, err = c.appendArg(dst, i+j, p, field.Index(j)); err != nil {
				return nil, err
			}
		}
	}
	return append(dst, ']'), nil
}

func (c *codec) appendArg(dst []byte, i int, p *param, v reflect.Value) ([]byte, error) {
	if i > 0 {
		dst = append(dst, ',')
	}
	if p.plain {
		switch v.Kind() {
		case reflect.Bool:
			return strconv.AppendBool(dst, v.Bool()), nil
		case reflect.String:
			if s := v.String(); isPlain(s) {
				dst = append(dst, '"')
				dst = append(dst, s...)
				return append(dst, '"'), nil
			}
		default:
			if v.CanInt() {
				return strconv.AppendInt(dst, v.Int(), 10), nil
			}
			return strconv.AppendUint(dst, v.Uint(), 10), nil
		}
	}
	dst, err := appendJSON(dst, v.Addr().Interface())
	if err != nil {
		return nil, &ArgError{Kind: c.kind, Position: i + 1, Field: p.name, Go: v.Type().String(), Err: err}
	}
	return dst, nil
}

// decode fills v, a zero value of the codec's type, from the array args.
func (c *codec) decode(args json.RawMessage, v reflect.Value) error {
	var room [8]json.RawMessage // most jobs take fewer, and then nothing is allocated
	elems, err := split(room[:0], args)
	if err != nil {
		return err
	}
	if len(elems) < c.required {
		p := &c.params[len(elems)]
		return &ArgError{Kind: c.kind, Position: len(elems) + 1, Field: p.name, Go: p.typ.String()}
	}
	for i := range c.params {
		p := &c.params[i]
		if i == len(elems) {
			return nil
		}
		if !p.rest {
			if err := c.decodeArg(elems[i], i, p, p.of(v)); err != nil {
				return err
			}
			continue
		}
		rest := reflect.MakeSlice(p.typ, len(elems)-i, len(elems)-i)
		for j := range rest.Len() {
			if err := c.decodeArg(elems[i+j], i+j, p, rest.Index(j)); err != nil {
				return err
			}
		}
		p.of(v).Set(rest)
		return nil
	}
	if n := len(c.params); len(elems) > n {
		return &ArgError{Kind: c.kind, Position: n + 1, JSON: typeOf(elems[n])}
	}
	return nil
}

func (c *codec) decodeArg(elem json.RawMessage, i int, p *param, v reflect.Value) error {
	if string(elem) == "null" && !p.nilable {
		if p.optional {
			return nil
		}
		return &ArgError{Kind: c.kind, Position: i + 1, Field: p.name, Go: v.Type().String(), JSON: "null"}
	}
	if p.plain && setPlain(v, elem) {
		return nil
	}
	err := decodeJSON(elem, v.Addr().Interface())
	if err == nil {
		return nil
	}
	misfit := &ArgError{Kind: c.kind, Position: i + 1, Field: p.name, Go: v.Type().String(), JSON: typeOf(elem), Err: err}
	if inner, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		misfit.Go = inner.Type.String()
		misfit.JSON, _, _ = strings.Cut(inner.Value, " ") // "number 300" has the value in it
		misfit.Field = strings.Trim(p.name+"."+inner.Field, ".")
	}
	return misfit
}

// of returns the part of v that the parameter stands for.
func (p *param) of(v reflect.Value) reflect.Value {
	if p.index < 0 {
		return v
	}
	return v.Field(p.index)
}

// isUnset reports whether an optional part of v has nothing to send.
func (p *param) isUnset(v reflect.Value) bool {
	if p.rest {
		return p.of(v).Len() == 0
	}
	return p.of(v).IsZero()
}

// setPlain sets a plain value without encoding/json, or returns false.
func setPlain(v reflect.Value, elem json.RawMessage) bool {
	switch v.Kind() {
	case reflect.Bool:
		yes := string(elem) == "true"
		v.SetBool(yes)
		return yes || string(elem) == "false"
	case reflect.String:
		if len(elem) < 2 || elem[0] != '"' || elem[len(elem)-1] != '"' {
			return false
		}
		s := string(elem[1 : len(elem)-1]) // a copy: elem aliases the payload
		if !isPlain(s) {
			return false
		}
		v.SetString(s)
		return true
	}
	if len(elem) > 1 && (elem[0] == '0' || elem[0] == '+') {
		return false
	}
	if v.CanInt() {
		n, err := strconv.ParseInt(string(elem), 10, v.Type().Bits())
		if err == nil {
			v.SetInt(n)
		}
		return err == nil
	}
	n, err := strconv.ParseUint(string(elem), 10, v.Type().Bits())
	if err == nil {
		v.SetUint(n)
	}
	return err == nil
}

// isPlain tells strings that are the same in JSON, but for the quotes.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// encode is one value in JSON.
func encode(value any) (json.RawMessage, error) { return appendJSON(nil, value) }

// appendJSON is json.Marshal without its escapes for HTML.
func appendJSON(dst []byte, value any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// decodeJSON is json.Unmarshal, but numbers that land in an empty interface become
// json.Number: a float64 would change an id above 2^53.
func decodeJSON(elem json.RawMessage, value any) error {
	dec := json.NewDecoder(bytes.NewReader(elem))
	dec.UseNumber()
	if err := dec.Decode(value); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}

var errNoArray = errors.New("the arguments are not a JSON array")

// split appends the elements of a JSON array to elems, unread. What is wrong
// inside an element is found when it is decoded.
func split(elems []json.RawMessage, array json.RawMessage) ([]json.RawMessage, error) {
	body := bytes.TrimSpace(array)
	if len(body) == 0 {
		return elems, nil
	}
	if len(body) < 2 || body[0] != '[' || body[len(body)-1] != ']' {
		return nil, errNoArray
	}
	body = bytes.TrimSpace(body[1 : len(body)-1])
	if len(body) == 0 {
		return elems, nil
	}
	depth, start, quoted := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			elems = append(elems, bytes.TrimSpace(body[start:i]))
			start = i + 1
		}
	}
	if depth != 0 || quoted {
		return nil, errNoArray
	}
	return append(elems, bytes.TrimSpace(body[start:])), nil
}

// typeOf names the JSON type of a value by its first byte.
func typeOf(elem json.RawMessage) string {
	if len(elem) == 0 {
		return "nothing"
	}
	switch elem[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}
