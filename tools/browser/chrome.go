package browser

import (
	"context"
	"fmt"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Start starts a Chromium that keeps what it must in dir, and returns the context for
// chromedp to open tabs in. close ends it, and waits for that.
func Start(ctx context.Context, dir string) (chrome context.Context, close func(), err error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, // for root, and for machines without a screen
		chromedp.Flag("headless", "new"), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.UserDataDir(dir), chromedp.WSURLReadTimeout(time.Minute))
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	chrome, _ = chromedp.NewContext(ctx)
	close = func() {
		chromedp.Cancel(chrome)
		end()
	}
	if err := chromedp.Do(chrome); err != nil {
		close()
		return nil, nil, fmt.Errorf("browser: start Chromium: %w\nhint: apt-get install chromium", err)
	}
	return chrome, close, nil
}

// Look is how a browser shows pages.
type Look struct {
	Name          string
	Width, Height int64
	Dark          bool
	Forced        bool // in the few colours that a person has chosen for all programs
	RTL           bool // as in a language that is written from right to left
}

// Show shows this page and those after it so, and without motion. Right to left is
// for this page alone.
func (l Look) Show(ctx context.Context, t *chromedp.Target) (none chromedp.Void, err error) {
	scheme, forced, dir := "light", "none", "ltr"
	if l.Dark {
		scheme = "dark"
	}
	if l.Forced {
		forced = "active"
	}
	if l.RTL {
		dir = "rtl"
	}
	_, err = cdp.Call(ctx, t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: l.Width, Height: l.Height, DeviceScaleFactor: 1, Mobile: l.Width < 500,
	})
	if err != nil {
		return none, err
	}
	_, err = cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "forced-colors", Value: forced}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	if err != nil {
		return none, err
	}
	return chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.documentElement.dir = %q`, dir))(ctx, t)
}
