package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"github.com/ebbjobs/ebb/internal/fleet"
	"github.com/ebbjobs/ebb/store"
)

func newTop(a *app) *cobra.Command {
	var every time.Duration
	var plain bool
	cmd := &cobra.Command{
		Use: "top", Short: "Watch processes, stops and queues live",
		Long: `Watch a store live: whether all is well, what runs, how fast, what is stopping and
what became of its jobs. ? lists the keys.

Where nobody watches, and with --plain, it prints one screen and ends. It looks at the
store once a second, and not at all while it is paused.`,
		Example: example("ebb top", "ebb top --plain", "ebb top --interval 5s"),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return code(exitUsage, store.WithHint(fmt.Errorf("--interval: %s is too short", every), "it is at least 100ms"))
			}
			s, err := a.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			t := &top{app: a, ctx: cmd.Context(), store: s, every: every, width: a.term.Width(), height: 24}
			if plain || !a.term.OutWatched || !a.term.InWatched || !a.term.ErrWatched {
				return t.once()
			}
			return t.live(cmd.InOrStdin())
		},
	}
	cmd.Flags().DurationVar(&every, "interval", time.Second, "look at the store every so often")
	cmd.Flags().BoolVar(&plain, "plain", false, "print one screen, and end")
	return cmd
}

// top is the live view: what was seen last, and where in it the person is.
type top struct {
	*app
	ctx   context.Context // of the program: what bubbletea runs is given none
	store store.Store
	every time.Duration

	width, height int

	seen    *sight // the last look that succeeded; nil: none yet
	rates   rates
	err     error // of the last look
	reading bool
	paused  bool

	tab    tab
	at     [tabs]cursor
	filter string
	typing bool // the filter is being typed
	opened string
	opens  bool // opened is shown
	scroll int  // of what is opened
	asks   *question
	helps  bool
	note   string // what was done, or why not
}

// question is asked before something is done.
type question struct {
	what string
	do   func() tea.Msg
}

// What comes back from what runs beside the view.
type (
	sawMsg struct {
		sight *sight
		err   error
	}
	tickMsg struct{}
	toldMsg string
)

// once prints one screen.
func (t *top) once() error {
	t.term.OutWatched = true // a screen is for people, wherever it goes
	saw := t.look(false)
	if saw.err != nil {
		return saw.err
	}
	t.Update(saw)
	_, err := fmt.Fprint(t.term.Out, t.page())
	return err
}

// live shows the view until it is left. The terminal is as before when it returns, also
// after a panic, of which the library prints where it was.
func (t *top) live(in io.Reader, options ...tea.ProgramOption) error {
	program := tea.NewProgram(t, append([]tea.ProgramOption{
		tea.WithContext(t.ctx), tea.WithInput(in), tea.WithOutput(t.term.Raw), tea.WithEnvironment(t.environ),
		tea.WithoutSignalHandler(), // the command has one, which ends ctx
		tea.WithFPS(20),
	}, options...)...)
	_, err := program.Run()
	switch {
	case errors.Is(err, tea.ErrProgramPanic):
		return store.WithHint(errors.New("this is a bug: the view panicked"), "report what was printed above")
	case t.ctx.Err() != nil:
		return nil // a viewer just ends
	}
	return err
}

// Init begins to look.
func (t *top) Init() tea.Cmd {
	return tea.Batch(t.read(), t.tick())
}

func (t *top) tick() tea.Cmd {
	return tea.Tick(t.every, func(time.Time) tea.Msg { return tickMsg{} })
}

// Update takes in what happened.
func (t *top) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		t.width, t.height = m.Width, m.Height
	case tickMsg:
		if t.paused || t.reading {
			return t, t.tick()
		}
		return t, tea.Batch(t.read(), t.tick())
	case sawMsg:
		t.reading, t.err = false, m.err
		if m.err == nil {
			t.rates.add(m.sight.pic)
			if m.sight.errors == nil && t.seen != nil {
				m.sight.errors = t.seen.errors
			}
			t.seen = m.sight
		}
	case toldMsg:
		t.note = string(m)
		if !t.reading && !t.paused {
			return t, t.read()
		}
	case tea.KeyPressMsg:
		return t, t.key(m)
	}
	return t, nil
}

// View draws the screen.
func (t *top) View() tea.View {
	v := tea.NewView(t.screen())
	v.AltScreen = true
	return v
}

// sight is one look at the store.
type sight struct {
	pic      *fleet.Picture
	rollouts []fleet.Rollout
	points   []store.Point // of the last minutes; none before any process has told
	errors   []fleet.Group // nil: not looked for this time
}

// patience is for how long a look may take before it is given up.
const lookPatience = 10 * time.Second

// read looks at the store beside the view, one look at a time. Errors are a thousand
// payloads to read: only who looks at them has them read.
func (t *top) read() tea.Cmd {
	t.reading = true
	errors := t.tab == tabErrors
	return func() tea.Msg { return t.look(errors) }
}

// look reads the store once. It touches nothing that changes.
func (t *top) look(errors bool) sawMsg {
	ctx, end := context.WithTimeout(t.ctx, lookPatience)
	defer end()
	pic, err := fleet.Look(ctx, t.store)
	if err != nil {
		return sawMsg{err: err}
	}
	s := &sight{pic: pic, rollouts: pic.Rollouts()}
	if s.points, err = t.store.Series(ctx, store.SeriesQuery{Step: store.Moment, From: pic.At.Add(-sparkFor)}); err != nil {
		return sawMsg{err: err}
	}
	if errors {
		if s.errors, err = fleet.SampleErrors(ctx, t.store, pic.Marks); err != nil {
			return sawMsg{err: err}
		}
		pic.Errors = s.errors
	}
	return sawMsg{sight: s}
}
