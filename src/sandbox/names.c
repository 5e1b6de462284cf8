#include "names.h"

#include <string.h>

#include "systemefs/base/macros.h"

/* clang-format off */
const struct culture names_cultures[] = {
    {"en", "GB", "+44", {"Leeds", "Bristol", "St Ives"},
     {{"Olivia", "olivia"}, {"George", "george"}, {"Amelia", "amelia"}, {"Harry", "harry"}, {"Isla", "isla"}, {"Noah", "noah"}},
     {{"Smith", "smith"}, {"O'Neill", "oneill"}, {"Taylor", "taylor"}, {"Hughes", "hughes"}, {"Clarke-Webb", "clarke-webb"}, {"Patel", "patel"}}},
    {"en", "US", "+1", {"Portland", "St. Louis", "Austin"},
     {{"Liam", "liam"}, {"Emma", "emma"}, {"Mason", "mason"}, {"Ava", "ava"}, {"Ethan", "ethan"}, {"Mia", "mia"}},
     {{"Johnson", "johnson"}, {"Williams", "williams"}, {"Garcia", "garcia"}, {"Nguyen", "nguyen"}, {"Davis", "davis"}, {"Lee", "lee"}}},
    {"fr", "FR", "+33", {"Orléans", "Béziers", "Saint-Étienne"},
     {{"Zoé", "zoe"}, {"François", "francois"}, {"Hélène", "helene"}, {"Loïc", "loic"}, {"Maëlys", "maelys"}, {"Benoît", "benoit"}},
     {{"Lefèvre", "lefevre"}, {"Dupont", "dupont"}, {"Bérénger", "berenger"}, {"Garçon", "garcon"}, {"L'Hôpital", "lhopital"}, {"Moreau", "moreau"}}},
    {"de", "DE", "+49", {"Köln", "Gießen", "Weißenfels"},
     {{"Jürgen", "juergen"}, {"Käthe", "kaethe"}, {"Sören", "soeren"}, {"Anneliese", "anneliese"}, {"Björn", "bjoern"}, {"Lena", "lena"}},
     {{"Müller", "mueller"}, {"Weiß", "weiss"}, {"Schröder", "schroeder"}, {"von der Heide", "vonderheide"}, {"Groß", "gross"}, {"Bäcker", "baecker"}}},
    {"es", "ES", "+34", {"Málaga", "A Coruña", "León"},
     {{"Íñigo", "inigo"}, {"María José", "mariajose"}, {"Núria", "nuria"}, {"Andrés", "andres"}, {"Begoña", "begona"}, {"Óscar", "oscar"}},
     {{"Muñoz", "munoz"}, {"García Márquez", "garciamarquez"}, {"Peña", "pena"}, {"Ibáñez", "ibanez"}, {"Núñez", "nunez"}, {"Vega", "vega"}}},
    {"pt", "BR", "+55", {"São Paulo", "Belém", "Goiânia"},
     {{"João", "joao"}, {"Conceição", "conceicao"}, {"Luís", "luis"}, {"Inês", "ines"}, {"Antônio", "antonio"}, {"Débora", "debora"}},
     {{"Gonçalves", "goncalves"}, {"Araújo", "araujo"}, {"Simões", "simoes"}, {"Falcão", "falcao"}, {"Brandão", "brandao"}, {"Silva", "silva"}}},
    {"pl", "PL", "+48", {"Łódź", "Gdańsk", "Świdnica"},
     {{"Łukasz", "lukasz"}, {"Małgorzata", "malgorzata"}, {"Wiesława", "wieslawa"}, {"Żaneta", "zaneta"}, {"Paweł", "pawel"}, {"Józef", "jozef"}},
     {{"Wójcik", "wojcik"}, {"Dąbrowski", "dabrowski"}, {"Źrebięc", "zrebiec"}, {"Szczęsny", "szczesny"}, {"Błaszczyk", "blaszczyk"}, {"Ćwik", "cwik"}}},
    {"cs", "CZ", "+420", {"Plzeň", "Brno", "Děčín"},
     {{"Jiří", "jiri"}, {"Šárka", "sarka"}, {"Ondřej", "ondrej"}, {"Růžena", "ruzena"}, {"Zdeněk", "zdenek"}, {"Žofie", "zofie"}},
     {{"Dvořák", "dvorak"}, {"Příhoda", "prihoda"}, {"Čech", "cech"}, {"Šťastný", "stastny"}, {"Kříž", "kriz"}, {"Němec", "nemec"}}},
    {"sv", "SE", "+46", {"Malmö", "Västerås", "Umeå"},
     {{"Åsa", "asa"}, {"Björn", "bjorn"}, {"Märta", "marta"}, {"Örjan", "orjan"}, {"Linnéa", "linnea"}, {"Göran", "goran"}},
     {{"Ångström", "angstrom"}, {"Sjöberg", "sjoberg"}, {"Lindström", "lindstrom"}, {"Öberg", "oberg"}, {"Åkesson", "akesson"}, {"Nyström", "nystrom"}}},
    {"tr", "TR", "+90", {"İzmir", "Şanlıurfa", "Muğla"},
     {{"Işık", "isik"}, {"Gülşen", "gulsen"}, {"Çağlar", "caglar"}, {"İbrahim", "ibrahim"}, {"Özge", "ozge"}, {"Şebnem", "sebnem"}},
     {{"Yılmaz", "yilmaz"}, {"Öztürk", "ozturk"}, {"Doğan", "dogan"}, {"Çelik", "celik"}, {"Şahin", "sahin"}, {"Güneş", "gunes"}}},
    {"ru", "RU", "+7", {"Казань", "Тверь", "Орёл"},
     {{"Алексей", "aleksei"}, {"Марина", "marina"}, {"Фёдор", "fedor"}, {"Юлия", "yulia"}, {"Игорь", "igor"}, {"Ольга", "olga"}},
     {{"Щербаков", "scherbakov"}, {"Соловьёва", "solovyova"}, {"Жуков", "zhukov"}, {"Цветаева", "tsvetaeva"}, {"Ершов", "ershov"}, {"Ильин", "ilyin"}}},
    {"ua", "UA", "+380", {"Київ", "Львів", "Чернігів"},
     {{"Олександр", "oleksandr"}, {"Соломія", "solomiia"}, {"Ївга", "yivha"}, {"Ганна", "hanna"}, {"Юрій", "yurii"}, {"Оксана", "oksana"}},
     {{"Шевченко", "shevchenko"}, {"Ґалаґан", "galagan"}, {"Ковальчук", "kovalchuk"}, {"Лисенко", "lysenko"}, {"Євтушенко", "yevtushenko"}, {"Мельник", "melnyk"}}},
    {"el", "GR", "+30", {"Αθήνα", "Πάτρα", "Ηράκλειο"},
     {{"Ζωή", "zoi"}, {"Γιώργος", "giorgos"}, {"Ελένη", "eleni"}, {"Νίκος", "nikos"}, {"Άννα", "anna"}, {"Σπύρος", "spyros"}},
     {{"Παπαδόπουλος", "papadopoulos"}, {"Οικονόμου", "oikonomou"}, {"Αγγελής", "angelis"}, {"Βλάχος", "vlachos"}, {"Ξένος", "xenos"}, {"Ψαράς", "psaras"}}},
    {"ar", "EG", "+20", {"القاهرة", "الإسكندرية", "أسوان"},
     {{"فاطمة", "fatima"}, {"محمد", "mohamed"}, {"ليلى", "layla"}, {"يوسف", "youssef"}, {"عائشة", "aisha"}, {"حسن", "hassan"}},
     {{"عبد الرحمن", "abdelrahman"}, {"المصري", "elmasry"}, {"خليل", "khalil"}, {"نصّار", "nassar"}, {"الشريف", "elsherif"}, {"سالم", "salem"}}},
    {"zh", "CN", "+86", {"北京", "杭州", "成都"},
     {{"伟", "wei"}, {"秀英", "xiuying"}, {"欣怡", "xinyi"}, {"浩然", "haoran"}, {"静", "jing"}, {"𠮷祥", "jixiang"}},
     {{"王", "wang"}, {"李", "li"}, {"欧阳", "ouyang"}, {"张", "zhang"}, {"赵", "zhao"}, {"陈", "chen"}}},
    {"jp", "JP", "+81", {"東京", "京都市", "札幌"},
     {{"さくら", "sakura"}, {"健太", "kenta"}, {"ひなた", "hinata"}, {"美咲", "misaki"}, {"マリア", "maria"}, {"蓮", "ren"}},
     {{"佐藤", "sato"}, {"鈴木", "suzuki"}, {"髙橋", "takahashi"}, {"渡邉", "watanabe"}, {"伊藤", "ito"}, {"山本", "yamamoto"}}},
    {"hi", "IN", "+91", {"मुंबई", "जयपुर", "वाराणसी"},
     {{"प्रिया", "priya"}, {"अर्जुन", "arjun"}, {"दीक्षा", "diksha"}, {"रोहन", "rohan"}, {"अनन्या", "ananya"}, {"विक्रम", "vikram"}},
     {{"शर्मा", "sharma"}, {"अय्यर", "iyer"}, {"सिंह", "singh"}, {"गुप्ता", "gupta"}, {"त्रिपाठी", "tripathi"}, {"मेहता", "mehta"}}},
    {"th", "TH", "+66", {"กรุงเทพฯ", "เชียงใหม่", "ขอนแก่น"},
     {{"สมชาย", "somchai"}, {"กัญญา", "kanya"}, {"อนงค์", "anong"}, {"นิรันดร์", "niran"}, {"มาลี", "malee"}, {"ชัย", "chai"}},
     {{"ศรีสุข", "srisuk"}, {"บุญมี", "boonmee"}, {"ทองดี", "thongdee"}, {"แก้วมณี", "kaewmanee"}, {"วงศ์ใหญ่", "wongyai"}, {"พรหม", "prom"}}},
};
/* clang-format on */
const size_t names_culture_count = ARRAY_SIZE(names_cultures);

/* All valid by the API (at most 64 characters, no two the same without regard to case), and each
 * one a reason for a file name to go wrong. */
const char *const names_tags[] = {
    "newsletter",
    "customer",
    "lead",
    "webinar 2025/03",
    "a/b test",
    "a%2Fb test",
    "\"early bird\" buyers",
    "🍞 bakers",
    ".hidden list",
    "Été en Provence",
    "Клиент",
    "新規のお客様",
    "عملاء",
    "100% refund",
    "back\\slash",
    "two  blanks",
    "it's complicated",
    "<b>bold</b> & co",
    "4913",
    "1825001",
    "~backup",
    "#hash",
    "name.json",
    "VIP (1)",
    "*",
    "$(date)",
    "-rf",
    "caf\u00e9",
    "cafe\u0301",
    "👩‍👩‍👧‍👦 families",
    /* One name, of 256 bytes. NOLINTNEXTLINE(bugprone-suspicious-missing-comma) */
    "🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐"
    "🥐🥐🥐🥐🥐🥐🥐🥐🥐"
    "🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐🥐"
    "🥐🥐🥐🥐🥐🥐🥐🥐🥐",
    "nobody has this one",
    NULL,
};

const char *const names_tags_nasty[] = {
    "..",
    ".",
    "../../etc/passwd",
    "line\nbreak",
    "tab\tand\rreturn",
    "bell\a escape\x1b[31m",
    "delete\x7f",
    "\u202eright to left",
    " blank at both ends ",
    "/",
    "%",
    "%00",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxx",
    "",
    NULL,
};

const char *const names_courses[] = {
    "Bread basics",
    "Sourdough: the long way",
    "Bread basics",
    "Pâtisserie pour débutants",
    "Ovens & stones / 2nd edition",
    "Русская выпечка",
    "和菓子入門",
    ".draft course",
    "Money for bakers (50% off)",
    "Photography for food",
    NULL,
};

const char *const names_modules[] = {
    "Getting started", "Flour and water", "Les levains", "Shaping",
    "Baking",          "質問と回答",      "What next?",  NULL,
};

const char *const names_communities[] = {
    "Bakers' corner", "Rye / Roggen / Рожь", "Bakers' corner",
    "初心者の部屋",   "Alumni \"2024\"",     NULL,
};

const char *const names_colours[] = {
    "green", "bleu nuit", "rød", "красный", "空色", "\"off\" white", NULL,
};

const char *const names_companies[] = {
    "Crumb & Sons",   "Boulangerie L'Épi", "Großbäckerei Weiß GmbH",
    "ООО «Хлеб»",     "株式会社パン工房",  "Panadería Núñez, S.L.",
    "Οίκος Άρτου ΑΕ", "Flour/Water LLC",   NULL,
};

const struct person names_people[] = {
    {"ada@example.com", "Ada", "Byron"},
    {"jane@example.com", "Jane", "Doe"},
    {"grace+list@example.com", "Grace", "Hopper"},
};
const size_t names_people_count = ARRAY_SIZE(names_people);

const struct person names_people_nasty[] = {
    {"../up@example.com", "..", "Two\nlines"},
    {"\"a/b\"@example.com", "Tab\there", "Escape\x1b[31m"},
    {".dot@example.com", "", "\u202eturned"},
    {"100%25@example.com", " ", "\x7f"},
};
const size_t names_people_nasty_count = ARRAY_SIZE(names_people_nasty);

const char *const names_locales[] = {
    "en", "fr", "es", "it", "pt", "de", "nl", "ru", "jp", "tr", "ar", "zh", "sv", "ro", "cs",
    "hu", "sk", "dk", "id", "pl", "el", "sr", "hi", "no", "th", "sq", "sl", "ua", NULL,
};

const char *const names_countries[] = {
    "AE", "AR", "AT", "AU", "BE", "BG", "BR", "CA", "CH", "CL", "CN", "CO", "CZ", "DE",
    "DK", "DZ", "EE", "EG", "ES", "FI", "FR", "GB", "GR", "HK", "HR", "HU", "ID", "IE",
    "IL", "IN", "IS", "IT", "JP", "KE", "KR", "LT", "LU", "LV", "MA", "MX", "MY", "NG",
    "NL", "NO", "NZ", "PE", "PH", "PK", "PL", "PT", "RO", "RS", "RU", "SA", "SE", "SG",
    "SI", "SK", "SN", "TH", "TN", "TR", "TW", "UA", "US", "VN", "ZA", NULL,
};

size_t names_count(const char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

bool names_contain(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}
