"""Start `make bench`: what each process that draws digits imports, too; hence not TensorFlow."""

if __name__ == "__main__":
    from training.bench.suite import main

    main()
