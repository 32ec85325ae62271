fn main() -> std::process::ExitCode {
    topreward::cli::main()
}
