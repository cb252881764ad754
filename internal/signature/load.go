package signature

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/types"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"

	"github.com/ebbjobs/ebb/store"
)

// module is what a program imports that defines jobs.
const module = "github.com/ebbjobs/ebb"

// Load finds what the packages that patterns name define, as seen from dir. It needs
// the go command, and packages that compile.
func Load(ctx context.Context, dir string, env []string, patterns ...string) ([]Kind, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, store.WithHint(errors.New("signature: there is no go command, which reads the packages"), "install Go, or add its bin folder to PATH")
	}
	pkgs, err := packages.Load(&packages.Config{
		Context: ctx, Dir: dir, Env: env,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports |
			packages.NeedTypes | packages.NeedTypesSizes | packages.NeedSyntax | packages.NeedTypesInfo,
	}, patterns...)
	if err != nil {
		return nil, fmt.Errorf("signature: load packages: %w", err)
	}
	var kinds []Kind
	for _, pkg := range pkgs {
		if len(pkg.Errors) > 0 {
			return nil, store.WithHint(fmt.Errorf("signature: %s: %w", pkg.PkgPath, pkg.Errors[0]), "go build says more")
		}
		for _, file := range pkg.Syntax {
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if kind, ok := define(pkg, call); ok {
						kinds = append(kinds, kind)
					}
				}
				return true
			})
		}
	}
	for i := range kinds {
		if rel, err := filepath.Rel(dir, kinds[i].File); err == nil && !strings.HasPrefix(rel, "..") {
			kinds[i].File = rel
		}
	}
	twice(kinds)
	return kinds, nil
}

// twice finds kinds that are defined more than once, and not alike.
func twice(kinds []Kind) {
	first := map[string]*Kind{}
	for i := range kinds {
		k := &kinds[i]
		if k.Name == "" {
			continue
		}
		if other := first[k.Name]; other == nil {
			first[k.Name] = k
		} else if format(other) != format(k) {
			k.Problems = append(k.Problems, fmt.Sprintf("%s:%d defines it with other arguments", other.File, other.Line))
		}
	}
}

// define reads a call if it is one of ebb.Define.
func define(pkg *packages.Package, call *ast.CallExpr) (Kind, bool) {
	name, fn := callee(pkg, call)
	if fn != "Define" || len(call.Args) == 0 {
		return Kind{}, false
	}
	where := pkg.Fset.Position(call.Pos())
	k := Kind{File: where.Filename, Line: where.Line}
	if v := pkg.TypesInfo.Types[call.Args[0]].Value; v != nil && v.Kind() == constant.String {
		k.Name = constant.StringVal(v)
	} else {
		k.Problems = append(k.Problems, "its name is not a constant")
	}
	asObject := k.options(pkg, call.Args[1:])
	if call.Ellipsis.IsValid() {
		k.Problems = append(k.Problems, "its options are not written here")
	}
	instance, ok := pkg.TypesInfo.Instances[name]
	if !ok || instance.TypeArgs.Len() != 1 {
		return Kind{}, false
	}
	var wrong []string
	k.Params, wrong = params(instance.TypeArgs.At(0), asObject)
	k.Problems = append(k.Problems, wrong...)
	return k, true
}

// options reads what of the options is constant.
func (k *Kind) options(pkg *packages.Package, opts []ast.Expr) (asObject bool) {
	for _, opt := range opts {
		call, ok := ast.Unparen(opt).(*ast.CallExpr)
		if !ok {
			continue
		}
		value := ""
		if len(call.Args) == 1 {
			switch v := pkg.TypesInfo.Types[call.Args[0]].Value; {
			case v == nil:
			case v.Kind() == constant.String:
				value = constant.StringVal(v)
			default:
				value = v.ExactString()
			}
		}
		switch _, fn := callee(pkg, call); fn {
		case "Queue":
			k.Queue = value
		case "Retry":
			k.Retry = value
		case "NoRetry":
			k.Retry = "false"
		case "AsObject":
			asObject = true
		}
	}
	return asObject
}

// callee is the name by which a call names a function of package ebb, and what that
// is there; "" for other functions.
func callee(pkg *packages.Package, call *ast.CallExpr) (name *ast.Ident, fn string) {
	fun := ast.Unparen(call.Fun)
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = ast.Unparen(index.X)
	}
	switch f := fun.(type) {
	case *ast.SelectorExpr:
		name = f.Sel
	case *ast.Ident: // within package ebb, or of a dot import
		name = f
	default:
		return nil, ""
	}
	of, ok := pkg.TypesInfo.Uses[name].(*types.Func)
	if !ok || of.Pkg() == nil || of.Pkg().Path() != module || of.Signature().Recv() != nil {
		return nil, ""
	}
	return name, of.Name()
}

// Sort orders kinds by name, and those of one name by place.
func Sort(kinds []Kind) {
	slices.SortFunc(kinds, func(a, b Kind) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.File, b.File), a.Line-b.Line)
	})
}
