package wire

// wrappers are the classes in which Active Job puts its jobs on their way through
// Sidekiq: that of Rails, and that of Sidekiq's own adapter since 8.0.
var wrappers = map[string]bool{
	"ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper": true,
	"Sidekiq::ActiveJob::Wrapper":                          true,
}

// Unwrapped returns a job of Active Job's as its own class knows it: Kind is that
// class, and Args are its arguments as Active Job writes them, where what JSON has no
// type for is an object with keys that begin with "_aj_". All else is as in j, the
// payload too. Of any other job it returns nil.
func (j *Job) Unwrapped() *Job {
	if !wrappers[j.Kind] || j.Wrapped == "" {
		return nil
	}
	for data := range elements(j.Args) {
		arguments := last(data, "arguments")
		if len(arguments) == 0 || arguments[0] != '[' {
			return nil
		}
		inner := *j
		inner.Kind, inner.Args = j.Wrapped, arguments
		return &inner
	}
	return nil
}
