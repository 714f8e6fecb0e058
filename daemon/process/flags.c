/*
 * flags.c - what the command line says, and what we say of it.
 */
#include "daemon/process/flags.h"

#include <getopt.h>
#include <stddef.h>
#include <string.h>

#include "daemon/base/num.h"

struct flags flags_parse(int argc, char **argv)
{
    enum { FOREGROUND = 256, CHECK, INETD, TLS, ALONE, STAY, READY_FD, PRINT_CONFIG, PRINT_MANUAL, VERSION, HELP };
    static const struct option names[] = {
        { "config", required_argument, NULL, 'c' },
        { "foreground", no_argument, NULL, FOREGROUND },
        { "check", no_argument, NULL, CHECK },
        { "inetd", optional_argument, NULL, INETD },
        { "tls", no_argument, NULL, TLS },
        { "alone", no_argument, NULL, ALONE },
        { "stay", no_argument, NULL, STAY },
        { "ready-fd", required_argument, NULL, READY_FD },
        { "print-config", no_argument, NULL, PRINT_CONFIG },
        { "print-manual", no_argument, NULL, PRINT_MANUAL },
        { "version", no_argument, NULL, VERSION },
        { "help", no_argument, NULL, HELP },
        { NULL, 0, NULL, 0 },
    };
    struct flags f = { .file = POSTERN_SYSCONFDIR "/postern.conf", .protocol = protocols[0], .ready_fd = -1 };
    uint64_t number;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "c:", names, NULL)) != -1) {
        switch (c) {
        case 'c': f.file = optarg; break;
        case FOREGROUND: f.foreground = true; break;
        case CHECK: f.check = true; break;
        case INETD:
            f.inetd = true;
            f.protocol = optarg != NULL ? protocol_named(optarg) : protocols[0];
            f.wrong = f.wrong || f.protocol == NULL;
            if (f.protocol == NULL)
                f.protocol = protocols[0];
            break;
        case TLS: f.tls = true; break;
        case ALONE: f.alone = true; break;
        case STAY: f.stay = true; break;
        case READY_FD:
            if (num_parse(span_str(optarg), 255, &number) == 1 && number > 2)
                f.ready_fd = (int)number;
            else
                f.wrong = true;
            break;
        case PRINT_CONFIG: f.print_config = true; break;
        case PRINT_MANUAL: f.print_manual = true; break;
        case VERSION: f.version = true; break;
        case HELP: f.help = true; break;
        default: f.wrong = true;
        }
    }
    /* Without logins there is no TLS: a mail server comes by loopback or a unix socket. */
    if (optind < argc || (f.alone && f.stay) || (f.tls && (!f.inetd || !(f.protocol->needs & NEEDS_LOGINS))))
        f.wrong = true;
    return f;
}

void flags_usage(FILE *out)
{
    fputs("usage: posternd [-c file] [--foreground [--ready-fd=n] | --inetd[=protocol] [--tls]\n"
          "                [--alone | --stay]]\n"
          "       posternd [-c file] --check [--inetd]\n"
          "       posternd --print-config | --print-manual | --version | --help\n", out);
}

void flags_help(FILE *out)
{
    flags_usage(out);
    fputs("\n"
          "  -c, --config file   configuration file, instead of\n"
          "                      " POSTERN_SYSCONFDIR "/postern.conf\n"
          "  --foreground        stay in the foreground\n"
          "  --ready-fd=n        with --foreground: write a newline to descriptor n when ready\n"
          "  --inetd[=protocol]  serve one session on standard input and output, then exit:\n"
          "                      pop3, which is the default, or lmtp\n"
          "  --tls               with --inetd: TLS from the first octet, as on port 995\n"
          "  --alone             with --inetd: do not pass the client to a posternd that runs\n"
          "  --stay              with --inetd: if it was passed, exit when its session ends\n"
          "  --check             report every problem of the configuration, and exit\n"
          "  --print-config      print a configuration with every option at its default\n"
          "  --print-manual      print the options as postern.conf(5) has them, in mdoc\n"
          "  --version           print the version\n"
          "  --help              print this\n"
          "\n"
          "Listening sockets that are passed as descriptor 0 or by LISTEN_FDS are used in\n"
          "place of the configured ones. See posternd(8) and postern.conf(5).\n", out);
}
